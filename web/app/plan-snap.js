/** What a pointer on the draft means: the nearest vertex, border or road, as the service finds it. */

import { get } from "./api.js";
import { open } from "./plan-store.js";

/** Pixels within which something is meant. */
const REACH_PX = 9;
/** The service looks no farther. */
const MOST_M = 1000;
/** Of a pixel at zoom 0 at the equator, tiles being 512 wide. */
const METRES_PER_PIXEL = 78_271.517;

export const plain = ({ lng, lat }) => ({ at: [Number(lng.toFixed(7)), Number(lat.toFixed(7))], kind: null });

/** What lies within reach of a place on a map: `{at: [lon, lat], kind}`, a vertex before all else; the place itself where nothing does. */
export async function meant(map, lngLat) {
  if (!open.plan) return plain(lngLat);
  const scale = (METRES_PER_PIXEL * Math.cos((lngLat.lat * Math.PI) / 180)) / 2 ** map.getZoom();
  try {
    const { snap } = await get(`/plans/${open.plan.id}/snap`, { lon: lngLat.lng, lat: lngLat.lat, reach_m: Math.min(MOST_M, REACH_PX * scale) });
    return snap ? { at: [snap.lon, snap.lat], kind: snap.kind } : plain(lngLat);
  } catch {
    // An aid that does not answer must not keep anybody from drawing.
    return plain(lngLat);
  }
}

/** Whether a place lies within reach of what was found last. */
export function isBeside(map, lngLat, spot) {
  const [here, there] = [map.project(lngLat), map.project(spot.at)];
  return Math.hypot(here.x - there.x, here.y - there.y) <= REACH_PX;
}
