/** Every word the page says, in Chinese and English, and the choice between them. */

import { ANALYSIS } from "./words-analysis.js";
import { PLAN } from "./words-plan.js";
import { SITUATION } from "./words-situation.js";

const WORDS = {
  ...ANALYSIS,
  ...PLAN,
  ...SITUATION,
  "app.title": ["平安地图", "Safety map"],
  "app.synthetic": ["演示数据 synthetic", "Demo data, synthetic 演示数据"],
  "app.synthetic.more": [
    "本图网格、建筑、人员与事件均为程序生成，并非真实情况",
    "Grids, buildings, people and incidents here are generated, not real",
  ],
  "app.skip": ["跳到地图", "Skip to the map"],
  "app.menu": ["筛选与图层", "Filters and layers"],
  "app.language": ["English", "中文"],
  "app.language.title": ["Switch to English", "切换到中文"],
  "app.loading": ["正在加载…", "Loading…"],
  "app.help": [
    "快捷键：/ 搜索 · 方向键移动地图 · +/− 缩放 · C 查询中心点 · Esc 关闭",
    "Keys: / search · arrows move the map · +/− zoom · C asks at the centre · Esc closes",
  ],
  "session.title": ["身份", "Who you are"],
  "session.now": ["当前：{who}", "Now: {who}"],
  "session.public": [
    "未登录只见公开内容：边界、道路、建筑、场所与粗略热点",
    "Signed out you see what is public: borders, roads, buildings, places and coarse hotspots",
  ],
  "session.demo": ["演示身份（点击即用）", "Demo identities (one click)"],
  "session.key": ["访问密钥", "Access key"],
  "session.code": ["动态口令（6 位）", "One-time code (6 digits)"],
  "session.idle": ["久无操作，已退出登录。请重新登录。", "Nobody used this page for a while, so you were signed out. Sign in again."],
  "session.second": ["此密钥还需动态口令", "This key needs its one-time code as well"],
  "session.in": ["登录", "Sign in"],
  "session.out": ["退出登录", "Sign out"],
  "session.needed": ["登录后可见", "Sign in to see this"],
  "role.public": ["公众", "Public"],
  "role.field": ["一线", "Field"],
  "role.commander": ["指挥", "Commander"],
  "role.planner": ["规划", "Planner"],
  "role.approver": ["审批", "Approver"],
  "role.admin": ["管理", "Admin"],
  "theme.label": ["配色", "Colours"],
  "theme.light": ["浅色", "Light"],
  "theme.dark": ["深色", "Dark"],
  "theme.safe": ["色觉友好", "Colour-blind safe"],
  "search.label": ["搜索坐标、网格编码或地址", "Search a point, a grid code or an address"],
  "search.text": ["地址", "address"],
  "search.placeholder": ["坐标 {point} · 网格编码 {code} · {text}", "{point} · grid code {code} · {text}"],
  "search.empty": [
    "请输入坐标（经度，纬度）、网格编码或地址",
    "Type a point (longitude,latitude), a grid code or an address",
  ],
  "search.ambiguous": [
    "“{text}”的经纬度顺序不明确，请按 经度，纬度 输入",
    "The order of “{text}” is unclear: write longitude,latitude",
  ],
  "search.outside": [
    "“{text}”不是地球上的点：经度 ±180，纬度 ±90",
    "“{text}” is no point on earth: longitude ±180, latitude ±90",
  ],
  "search.nothing": ["没有找到“{text}”", "Nothing found for “{text}”"],
  "search.more": ["还有更多，请写得更详细些", "There are more: write more of the address"],
  "here.label": ["我的位置", "My position"],
  "here.denied": ["无法取得位置：{reason}", "No position: {reason}"],
  "here.missing": ["此浏览器不提供定位", "This browser offers no positioning"],
  "centre.label": ["查询地图中心点", "Ask at the map's centre"],
  "period.title": ["时段", "Period"],
  "period.7": ["7 天", "7 days"],
  "period.30": ["30 天", "30 days"],
  "period.90": ["90 天", "90 days"],
  "period.365": ["1 年", "1 year"],
  "period.all": ["全部", "All"],
  "period.from": ["从", "From"],
  "period.to": ["至", "To"],
  "period.slide": ["沿时间移动", "Move through time"],
  "period.play": ["逐周播放", "Play week by week"],
  "period.stop": ["停止播放", "Stop"],
  "period.span": ["记录时间：{first} 至 {last}", "Records from {first} to {last}"],
  "period.earlier": [
    "；另有 {count} 起远早于其他记录（{earliest} 起），须选定日期方可查看",
    "; {count} more lie far before all others, from {earliest} on: choose dates to see them",
  ],
  "period.wrong": [
    "时段无效：开始日期须不晚于结束日期",
    "The period is not valid: it must not end before it begins",
  ],
  "category.title": ["事件类别", "Category"],
  "category.all": ["全部类别", "All categories"],
  "hotspots.title": ["热点", "Hotspots"],
  "hotspots.summary": [
    "本时段事件 {incidents} 起；全市 {cells} 个六边形（宽约 {width} 米）中 {hot} 个显著多于预期",
    "{incidents} incidents in the period; {hot} of {cells} hexagons (some {width} m across) hold more than chance explains",
  ],
  "hotspots.counted": [
    "所涉各月事件 {incidents} 起，分布在 {cells} 个六边形（宽约 {width} 米）",
    "{incidents} incidents in these months, in {cells} hexagons (some {width} m across)",
  ],
  "hotspots.empty": ["尚无事件记录", "No incidents are recorded yet"],
  "hotspots.untested": [
    "公开数据只给数量，不判断是否显著；登录后可区分偶然与热点",
    "Public counts are not tested; sign in to tell hotspots from chance",
  ],
  "hotspots.seen": [
    "没有热点不等于没有变化：以此时段、类别和格子大小，通常的地方（连同邻格预期 {expected} 起）要达到平时的 {ratio} 倍，才有八成机会显现（满 {n} 起即显现）",
    "No hotspot does not mean no change: with this period, category and size of hexagon a usual place ({expected} expected with its neighbours) shows in four of five cases only from {ratio} times the usual on ({n} incidents stand out)",
  ],
  "hotspots.daily": [
    "每看一次，误报的机会至多 5%；天天看会累积，一个季度里总会遇到几次误报",
    "Each look has a chance of 5 % at most of a false alarm; daily looks add up: over a quarter some come",
  ],
  "hotspots.byarea": [
    "预期按面积而非住户计算：只有 {percent}% 的事件落在住户数已知的六边形内（需 80%）",
    "Expected by area, not by households: only {percent} % of the incidents lie in hexagons whose households are known (80 % are needed)",
  ],
  "hotspots.unplaced": [
    "其中 {count} 起没有坐标，不在图上",
    "{count} of them have no place and are not on the map",
  ],
  "hotspots.none": [
    "本时段没有显著热点：图上的多少之差，偶然即可解释",
    "No significant hotspot in this period: chance explains the differences on the map",
  ],
  "hotspots.area": ["{cells} 个六边形 · {count} 起", "{cells} hexagons · {count} incidents"],
  "hotspots.more": ["再显示 {count} 处", "Show {count} more"],
  "layers.title": ["图层", "Layers"],
  "layers.zoom": ["放大后可见", "zoom in to see"],
  "legend.title": ["图例", "Legend"],
  "legend.hot": ["显著：多于偶然所能解释", "Significant: more than chance explains"],
  "legend.hot.scale": [
    "六边形及其邻格，实际 ÷ 预期（粗边框）",
    "hexagon with neighbours, observed ÷ expected (bold outline)",
  ],
  "legend.quiet": ["仅为数量：与偶然无异", "Count only: no different from chance"],
  "legend.untested": ["仅为数量：未检验", "Counts alone, not tested"],
  "legend.quiet.scale": ["每个六边形的事件数", "incidents per hexagon"],
  "details.title": ["位置详情", "This place"],
  "details.close": ["关闭", "Close"],
  "details.copy": ["复制坐标", "Copy the coordinates"],
  "details.copied": ["已复制 {text}", "Copied {text}"],
  "details.wgs84": ["WGS-84 经度，纬度", "WGS-84 longitude, latitude"],
  "record.title": ["边界", "Boundaries"],
  "record.what": [
    "网格是有专人负责的一块区域",
    "A grid is an area with people responsible for it: a district, a beat, a block",
  ],
  "record.scheme": ["网格体系", "Set of grids"],
  "record.on": ["哪一天的边界（空：今天）", "Boundaries on (empty: today)"],
  "record.known": ["版本", "Revision"],
  "record.newest": ["最新", "newest"],
  "record.revision": ["第 {id} 版，{when}", "{id}, of {when}"],
  "record.shown": ["现在显示的是{what}的边界", "Shown are the boundaries {what}"],
  "record.shown.on": [" {on} ", "in force on {on}"],
  "record.shown.known": ["第 {known} 版", "as known at revision {known}"],
  "record.and": ["，", ", "],
  "record.back": ["回到现在", "back to now"],
  "chain.title": ["归属网格", "Who is responsible here"],
  "chain.boundary": ["恰在边界上：按编码较小者归属", "Exactly on a border: the lowest code owns it"],
  "chain.revision": ["边界版本 {revision} · {on} 生效", "Revision {revision} · in force on {on}"],
  "chain.nostaff": ["未登记人员", "nobody registered"],
  "chain.hidden": ["没有公开电话；人员信息登录后可见", "no public number; names are for staff who sign in"],
  "chain.none": ["此处不属于任何网格", "No grid owns this place"],
  "nearest.title": ["最近可派力量", "Nearest available responders"],
  "nearest.line": ["直线距离", "straight line"],
  "nearest.none": ["没有可派力量", "No responder is available"],
  "under.title": ["此处要素", "Under the point"],
  "cell.title": ["热点六边形", "Hotspot hexagon"],
  "cell.significant": [
    "显著：连同邻格多于偶然所能解释",
    "Significant: with its neighbours, more than chance explains",
  ],
  "cell.quiet": ["不显著：这样的数量偶然也会出现", "Not significant: chance alone gives such counts"],
  "cell.untested": ["公开数量，未作检验", "Public count, not tested"],
  "cell.count": ["事件", "Incidents"],
  "cell.expected": ["预期", "Expected"],
  "cell.ratio": ["实际 ÷ 预期（含邻格）", "Observed ÷ expected (with neighbours)"],
  "cell.p": ["偶然概率 p", "Chance p"],
  "cell.trend": ["较上一时段", "Against the period before"],
  "trend.rising": ["上升", "rising"],
  "trend.falling": ["下降", "falling"],
  "trend.steady": ["持平", "steady"],
  "list.nomap": [
    "此浏览器没有 WebGL2，无法绘制地图；以下列表提供同样的内容",
    "This browser has no WebGL2 and cannot draw the map; the lists give the same answers",
  ],
  "map.label": [
    "地图：方向键移动，加减号缩放，C 键查询中心点",
    "Map: arrows move, plus and minus zoom, C asks at the centre",
  ],
  "map.title": ["地图", "Map"],
  "map.sources": ["显示或收起数据来源", "Show or hide the sources"],
  "map.zoomin": ["放大", "Zoom in"],
  "map.zoomout": ["缩小", "Zoom out"],
  "map.failed": ["地图数据载入失败：{reason}", "Map data did not load: {reason}"],
  "error.unreachable": [
    "服务无法连接，请检查网络或稍后再试",
    "The service cannot be reached; check the network or try again later",
  ],
  "error.status": ["服务答复 {status}", "The service answered {status}"],
  "error.start": ["页面无法启动：{reason}", "The page cannot start: {reason}"],
  "error.bug": ["页面出错：{reason}", "The page failed: {reason}"],
  "unit.m": ["{value} 米", "{value} m"],
  "unit.km": ["{value} 公里", "{value} km"],
  "field.name": ["名称", "Name"],
  "field.code": ["编码", "Code"],
  "field.kind": ["类型", "Kind"],
  "field.state": ["状态", "State"],
  "field.status": ["状态", "Status"],
  "field.address": ["地址", "Address"],
  "field.floors": ["层数", "Floors"],
  "field.households": ["户数", "Households"],
  "field.headings": ["朝向（度）", "Headings (degrees)"],
  "field.fov": ["视场角（度）", "Field of view (degrees)"],
  "field.range_m": ["可视距离（米）", "Range (m)"],
  "field.category": ["类别", "Category"],
  "field.source": ["来源", "Source"],
  "field.colour": ["分级", "Severity"],
  "field.occurred_at": ["发生时间", "Occurred"],
  "field.class": ["道路等级", "Class"],
  "field.count": ["数量", "Number"],
  "field.red": ["红色", "Red"],
  "field.yellow": ["黄色", "Yellow"],
  "field.blue": ["蓝色", "Blue"],
  "field.open": ["未办结", "Open"],
  "field.down": ["离线或故障", "Out of order"],
  "field.available": ["可派", "Available"],
  "field.busy": ["处置中", "Busy"],
  "field.off": ["离岗", "Off duty"],
  "kind.police": ["警力", "police"],
  "kind.fire": ["消防", "fire"],
  "kind.ambulance": ["急救", "ambulance"],
  "kind.emergency": ["应急", "emergency"],
  "kind.utility": ["市政抢修", "utility"],
  "kind.city_management": ["城管", "code enforcement"],
  "kind.grid_worker": ["网格巡查", "neighborhood patrol"],
  "kind.volunteer": ["志愿者", "volunteer"],
  "kind.fisheye": ["鱼眼", "fisheye"],
  "kind.dome": ["球机", "dome"],
  "kind.bullet": ["枪机", "bullet"],
  "kind.checkpoint": ["卡口", "checkpoint"],
  "kind.park": ["公园", "park"],
  "kind.kindergarten": ["幼儿园", "kindergarten"],
  "kind.general_hospital": ["综合医院", "general hospital"],
  "kind.hospital": ["医院", "hospital"],
  "kind.clinic": ["诊所", "clinic"],
  "kind.service_centre": ["便民服务中心", "service centre"],
  "kind.service_point": ["便民服务点", "service point"],
  "kind.bus_station": ["客运站", "bus station"],
  "kind.railway_station": ["火车站", "railway station"],
  "kind.elderly_home": ["养老院", "nursing home"],
  "kind.primary_school": ["小学", "primary school"],
  "kind.middle_school": ["中学", "middle school"],
  "kind.school": ["学校", "school"],
  "kind.police_post": ["警务室", "police post"],
  "kind.police_station": ["派出所", "police station"],
  "kind.fire_station": ["消防站", "fire station"],
  "kind.shelter": ["避难场所", "shelter"],
  "kind.market": ["市场", "market"],
  "kind.emergency_centre": ["急救中心", "emergency centre"],
  "kind.petrol_station": ["加油站", "gas (petrol) station"],
  "kind.commercial": ["商业", "commercial"],
  "kind.industrial": ["工业", "industrial"],
  "kind.office": ["办公", "office"],
  "kind.old_house": ["老旧住宅", "old house"],
  "kind.residential": ["住宅", "residential"],
  "kind.rural_house": ["农村住宅", "rural house"],
  "class.residential": ["小区道路", "residential"],
  "class.motorway": ["高速", "motorway"],
  "class.trunk": ["快速路", "trunk"],
  "class.primary": ["主干路", "primary"],
  "class.secondary": ["次干路", "secondary"],
  "class.tertiary": ["支路", "tertiary"],
  "class.unclassified": ["乡道", "unclassified"],
  "class.arterial": ["干道", "arterial road"],
  "kind.speed": ["测速", "speed"],
  "kind.red_light": ["闯红灯抓拍", "red light"],
  "value.online": ["在线", "online"],
  "value.offline": ["离线", "offline"],
  "value.fault": ["故障", "faulty"],
  "value.available": ["可派", "available"],
  "value.busy": ["处置中", "busy"],
  "value.off": ["离岗", "off duty"],
  "value.citizen": ["群众上报", "resident"],
  "value.grid_worker": ["网格员上报", "neighborhood worker"],
  "value.hotline": ["热线", "hotline call"],
  "value.superior": ["上级交办", "from a higher office"],
  "value.sensor": ["感知设备", "sensor"],
  "value.patrol": ["巡逻", "patrol"],
  "value.blue": ["蓝色", "blue"],
  "value.yellow": ["黄色", "yellow"],
  "value.red": ["红色", "red"],
  "value.reported": ["已上报", "reported"],
  "value.dispatched": ["已派单", "dispatched"],
  "value.handling": ["处置中", "handling"],
  "value.verifying": ["待核查", "verifying"],
  "value.closed": ["已办结", "closed"],
};

let column = 0;

/** The language in use: zh or en. */
export const language = () => (column === 0 ? "zh" : "en");

/** Use `zh` or `en` from now on, and say so to the browser. */
export function speak(lang) {
  column = lang === "en" ? 1 : 0;
  document.documentElement.lang = lang === "en" ? "en" : "zh-CN";
}

/** The words for `key` with {names} filled in; numbers are grouped as the language does. */
export function t(key, values = {}) {
  const text = WORDS[key]?.[column] ?? key;
  const whole = text.replace(/\{(\w+)\}/g, (_, name) => shown(values[name]));
  return column === 0 ? whole : whole.replace(OF_ONE, "1 $1$2");
}

/** What English counts, where it is one of it: `1 hexagons`; not that of `0.1 grids` or `2,001 rows`. */
const OF_ONE = new RegExp(
  "(?<![\\w.,–−-])1 ((?:whole |new |more |equal )?)(alarm|building|day|error|forecast|grid|hexagon|incident|month|period|" +
    "piece|place|row|step|time|week)s\\b",
  "g",
);

const shown = (value) => (typeof value === "number" ? value.toLocaleString(locale()) : String(value));

export const locale = () => (column === 0 ? "zh-CN" : "en-GB");

/** Whichever of two names the language asks for, the other where it is missing. */
export const pick = (zh, en) => (column === 0 ? zh || en : en || zh) ?? "";

/** The word for a value of the data (a state, a source …), the value itself where we know none. */
export const word = (value) => WORDS[`value.${value}`]?.[column] ?? String(value);

/** The word for a value of field `name` (a kind of camera, a class of road …), the value itself where unknown. */
export const wordOf = (name, value) => WORDS[`${name}.${value}`]?.[column] ?? word(value);

/** The word for a field of the data, or null where it is not shown. */
export const field = (name) => WORDS[`field.${name}`]?.[column] ?? null;

/** Put the words into every element that names them: data-t for text, data-t-ATTRIBUTE for attributes. */
export function translate(root = document) {
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const attribute of ["title", "placeholder", "aria-label"]) {
    for (const element of root.querySelectorAll(`[data-t-${attribute}]`)) {
      element.setAttribute(attribute, t(element.getAttribute(`data-t-${attribute}`)));
    }
  }
}

/** A distance in metres as a person says it. */
export function distance(metres) {
  if (metres < 1000) return t("unit.m", { value: Math.round(metres) });
  return t("unit.km", { value: Number((metres / 1000).toFixed(metres < 10000 ? 1 : 0)) });
}
