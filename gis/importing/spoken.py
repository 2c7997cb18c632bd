"""The words that people write for ours, in Chinese and English; compared without case, width and hyphens."""

from collections.abc import Mapping, Sequence

Spoken = Mapping[str, Sequence[str]]

CAMERA_STATES: Spoken = {
    "online": (
        "on",
        "在线",
        "正常",
        "运行",
        "运行中",
        "正常运行",
        "启用",
        "使用中",
        "working",
        "active",
        "up",
        "ok",
        "normal",
        "enabled",
    ),
    "offline": (
        "off",
        "离线",
        "不在线",
        "掉线",
        "断线",
        "停用",
        "关闭",
        "未启用",
        "inactive",
        "down",
        "disabled",
        "out of service",
    ),
    "fault": (
        "故障",
        "异常",
        "损坏",
        "维修",
        "维修中",
        "报修",
        "faulty",
        "broken",
        "error",
        "defective",
        "in repair",
    ),
}
STATES: Spoken = {
    "reported": (
        "待处理",
        "已上报",
        "上报",
        "待派单",
        "待受理",
        "已受理",
        "未处理",
        "待处置",
        "待办",
        "未办理",
        "新增",
        "new",
        "open",
        "received",
        "pending",
    ),
    "dispatched": ("已派单", "已派遣", "派单", "已分派", "已转派", "assigned", "sent"),
    "handling": ("处理中", "处置中", "办理中", "正在处理", "in progress", "ongoing", "in process"),
    "verifying": (
        "待核实",
        "核查中",
        "核实中",
        "待核查",
        "待验收",
        "resolved",
        "under review",
        "verification",
    ),
    "closed": (
        "已办结",
        "已处置",
        "已处理",
        "处置完毕",
        "办理完毕",
        "处理完成",
        "已归档",
        "归档",
        "已结案",
        "已完成",
        "办结",
        "结案",
        "完成",
        "已关闭",
        "completed",
        "complete",
        "done",
        "finished",
    ),
    "withdrawn": ("已撤销", "撤销", "已作废", "作废", "已取消", "cancelled", "canceled", "void", "duplicate"),
}
COLOURS: Spoken = {
    "blue": ("蓝", "蓝色", "一般", "普通", "low", "minor", "routine"),
    "yellow": ("黄", "黄色", "较大", "medium", "moderate"),
    "red": ("红", "红色", "重大", "紧急", "特别重大", "high", "severe", "critical", "urgent", "emergency"),
}
SOURCES: Spoken = {
    "citizen": (
        "群众", "群众上报", "群众反映", "群众举报", "市民", "市民上报", "市民反映", "公众", "居民",
        "居民反映", "随手拍", "微信", "小程序", "微信小程序", "公众号", "来信", "来访", "信访", "public",
        "resident", "residents", "citizens", "walk-in", "web", "app",
    ),
    "grid_worker": (
        "网格员", "网格员上报", "网格员巡查", "专职网格员", "兼职网格员", "网格长", "网格", "社区上报",
        "社区", "grid member", "community worker", "staff",
    ),
    "hotline": (
        "热线", "12345", "12345热线", "12345市民热线", "12345平台", "市民热线", "政务热线", "政务服务热线",
        "热线电话", "110", "110报警", "110联动", "电话", "来电", "311", "911", "phone", "call",
        "phone call", "telephone",
    ),
    "superior": (
        "上级", "上级交办", "上级转办", "领导交办", "交办", "转办", "higher authority", "referred",
    ),
    "sensor": (
        "感知", "设备", "物联网", "传感器", "视频", "监控", "摄像头", "视频监控", "自动报警", "iot",
        "device", "camera", "alarm",
    ),
    "patrol": (
        "巡查", "巡查上报", "巡逻", "巡检", "巡防", "officer", "on view", "officer initiated",
    ),
}  # fmt: skip
STATUSES: Spoken = {
    "available": ("空闲", "在岗", "可用", "待命", "在线", "free", "idle", "ready", "on duty", "standby"),
    "busy": (
        "忙碌",
        "处置中",
        "执行任务",
        "出警",
        "任务中",
        "occupied",
        "engaged",
        "en route",
        "on scene",
        "assigned",
    ),
    "off": (
        "离岗",
        "下班",
        "休息",
        "请假",
        "离线",
        "不在岗",
        "off duty",
        "unavailable",
        "out of service",
        "offline",
    ),
}
DATUMS: Spoken = {
    "wgs84": ("gps", "epsg:4326", "4326"),
    "cgcs2000": ("天地图", "国家2000", "国家大地2000", "2000", "epsg:4490", "4490"),
    "gcj02": ("火星", "火星坐标", "高德", "高德地图", "腾讯", "腾讯地图", "国测局", "amap"),
    "bd09": ("百度", "百度坐标", "百度地图", "baidu", "bd09ll"),
}
EMPTY = (
    "#N/A", "#NA", "#N/A N/A", "N/A", "n/a", "NA", "N.A.", "n.a.", "NULL", "null", "(null)", "<null>", "<NA>",
    "NaN", "NaN.", "nan", "NAN", "NaT", "None", "nil", "Nil", "NIL",
    "\\N", "[]",
    "-", "--", "---", "—", "——", "–", "/", "无", "暂无", "暂无数据", "无数据", "空", "(空)", "（空）",
    "空白", "(空白)", "（空白）", "未填", "未填写", "(无)", "（无）", "不适用",
)  # fmt: skip
"""What sources write for nothing; as they are written, so that Mr Null keeps his name. 未知, 不详 and unknown
say something: that it is not known."""
EMPTY_FLAG = tuple(word for word in EMPTY if word not in {"无", "(无)", "（无）"})
"""Of flags 无 is an answer: there is none."""
