"""Words of the day beside an hour of twelve: 上午, 下午, 凌晨, 晚上, AM, PM; which hour of 24 they mean."""

_MORNING, _FORENOON = dict(zip(range(1, 12), range(1, 12), strict=True)), {0: 0, 12: 0}
_AFTERNOON = {hour: hour + 12 for hour in range(1, 12)} | {hour: hour for hour in range(13, 24)}
_NOON = {10: 10, 11: 11, 12: 12, 1: 13, 2: 14, 13: 13, 14: 14}
_EVENING = {hour: hour + 12 for hour in range(5, 12)} | {hour: hour for hour in range(17, 24)}

_HOURS = {
    "am": _MORNING | _FORENOON, "上午": _MORNING | _FORENOON, "午前": _MORNING | _FORENOON,
    "凌晨": {hour: hour for hour in range(7)} | {12: 0},
    "早上": _MORNING, "早晨": _MORNING, "清晨": _MORNING, "清早": _MORNING, "早": _MORNING,
    "中午": _NOON, "正午": {12: 12},
    "pm": _AFTERNOON | {12: 12}, "下午": _AFTERNOON | {12: 12}, "午后": _AFTERNOON | {12: 12},
    **dict.fromkeys(("傍晚", "晚上", "晚间", "夜晚", "夜间", "夜里", "深夜", "晚"), _EVENING),
}  # fmt: skip
"""Word: hour as written → hour of 24. AM, PM, 上午 and 下午 as programs write them (Unicode's CLDR: 12 AM and
上午12 are midnight). What may be two hours (晚上12点 ends a day or begins it, 深夜1点 is of this night or the
next) is in no table."""
CHINESE = tuple(sorted((word for word in _HOURS if not word.isascii()), key=len, reverse=True))


def hour(word: str, written: int) -> int:
    """Return the hour from 0 to 23 that a word and an hour mean together, -1 where that is not for sure."""
    return _HOURS[word.lower().replace(".", "")].get(written, -1)
