/** Plans as files: the draft taken along to other tools, and one drawn elsewhere brought in as a step. */

import { h } from "./dom.js";
import { t } from "./i18n.js";
import { bring, open } from "./plan-store.js";
import { canEdit, doing } from "./plan-tools.js";
import { toast } from "./toast.js";

const FORMATS = [["gpkg", "GeoPackage"], ["geojson", "GeoJSON"], ["shp.zip", "Shapefile"]];

export function files() {
  if (!open.plan) return null;
  const link = ([suffix, name]) => h("a", { class: "button", href: `/plans/${open.plan.id}/export?format=${suffix}`, download: "" }, name);
  const chosen = async ({ target }) => {
    const answer = await doing(bring, target.files[0]);
    target.value = "";
    if (!answer) return;
    const faults = answer.faults && !answer.plan ? answer.faults.features.length : 0;
    if (faults) toast(t("files.faulty", { count: faults }));
    else toast(t("files.done", { count: answer.codes.length }), "note");
  };
  const file = h("input", { type: "file", id: "file", accept: ".gpkg,.geojson,.json,.zip,.fgb,.kml", onchange: chosen });
  return h("details", { class: "block", id: "files" }, h("summary", {}, t("files.title")),
    h("p", { class: "quiet" }, t("files.export")), h("p", { class: "row" }, FORMATS.map(link)),
    canEdit() && [h("p", { class: "quiet" }, t("files.import")), h("label", { class: "row" }, t("files.choose"), file)]);
}
