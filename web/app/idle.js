/** Whether somebody uses the page: a session that nobody uses ends, in all windows of the browser at once. */

const USED = "safetymap.used";
const ENDED = "safetymap.idle";
const NOTED_MS = 1000;
let watch = 0;

/** Call `end` once nobody has used any window of the browser for so many seconds. */
export function onIdle(seconds, end) {
  note();
  if (!watch) for (const name of ["pointerdown", "keydown", "wheel", "touchstart"]) addEventListener(name, note, { capture: true, passive: true });
  clearInterval(watch);
  const look = () => {
    if (Date.now() - last() < seconds * 1000) return;
    clearInterval(watch);
    sessionStorage.setItem(ENDED, "1");
    end();
  };
  watch = setInterval(look, Math.min(seconds * 100, 5000));
}

/** Whether the page began anew since nobody used it; said once. */
export function wasIdle() {
  const was = sessionStorage.getItem(ENDED) !== null;
  sessionStorage.removeItem(ENDED);
  return was;
}

const last = () => Number(localStorage.getItem(USED) ?? 0);

function note() {
  if (Date.now() - last() > NOTED_MS) localStorage.setItem(USED, String(Date.now()));
}
