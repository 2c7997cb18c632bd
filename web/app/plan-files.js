/** Plans as files: the draft taken along to other tools, and one drawn elsewhere brought in as a draft. */

import { h } from "./dom.js";
import { t } from "./i18n.js";
import { open } from "./plan-store.js";

const FORMATS = [["gpkg", "GeoPackage"], ["geojson", "GeoJSON"], ["shp.zip", "Shapefile"]];

export function files() {
  if (!open.plan) return null;
  const link = ([suffix, name]) => h("a", { class: "button", href: `/plans/${open.plan.id}/export?format=${suffix}`, download: "" }, name);
  return h("details", { class: "block" }, h("summary", {}, t("files.title")), h("p", { class: "row" }, FORMATS.map(link)));
}
