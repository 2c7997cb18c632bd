/** What the map's own controls are called, in the reader's language also after that is switched. */

import { t } from "./i18n.js";
import { onChange } from "./state.js";

/** The controls of the maps here, by maplibre's names: where each is, and our word for it. */
const CONTROLS = {
  "NavigationControl.ZoomIn": [".maplibregl-ctrl-zoom-in", "map.zoomin"],
  "NavigationControl.ZoomOut": [".maplibregl-ctrl-zoom-out", "map.zoomout"],
  "AttributionControl.ToggleAttribution": [".maplibregl-ctrl-attrib-button", "map.sources"],
  "Map.Title": [".maplibregl-canvas", "map.title"],
};

const maps = new Map();

/** Words for a map that is made now: its option `locale`. */
export const controlWords = () => Object.fromEntries(Object.entries(CONTROLS).map(([name, [, key]]) => [name, t(key)]));

/** Keep the controls of a map named in the reader's language; `title` is the word for the map itself. */
export function nameControls(map, title = "map.title") {
  // Not before the first map: whoever speaks the new language comes first.
  if (!maps.size) onChange((changed) => changed.has("lang") && [...maps.keys()].forEach(name));
  maps.set(map, title);
  map.on("remove", () => maps.delete(map));
  name(map);
}

function name(map) {
  for (const [selector, key] of Object.values(CONTROLS)) {
    for (const control of map.getContainer().querySelectorAll(selector)) {
      const isMap = control === map.getCanvas();
      control.setAttribute("aria-label", t(isMap ? maps.get(map) : key));
      if (!isMap) control.title = t(key);
    }
  }
}
