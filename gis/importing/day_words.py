"""Words of the day beside an hour of twelve: 上午, 下午, 凌晨, 晚上, AM, PM; which hour of 24 they mean."""

import re
import unicodedata

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

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
_CHINESE = sorted((word for word in _HOURS if not word.isascii()), key=len, reverse=True)
WORD = "|".join((*_CHINESE, r"(?i:[ap]\.?m\.?)"))
"""Any of them, as a pattern."""
_BESIDE = re.compile(
    rf"(?P<before>{WORD})\s*(?P<hour>\d{{1,2}})|(?P<sooner>\d{{1,2}})(?:[:.]\d{{1,2}}){{0,2}}[^+\d]{{0,3}}(?P<behind>{WORD})(?!\s*\d)"
)


def hours(words: pa.Array, written: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return hours from 0 to 23 by the words of the day beside them; -1 where the two leave a doubt."""
    told = written.copy()
    for at in np.flatnonzero(pc.is_valid(words).to_numpy(zero_copy_only=False)).tolist():
        told[at] = _HOURS[str(words[at]).lower().replace(".", "")].get(int(written[at]), -1)
    return told


def doubt(text: str) -> str | None:
    """Return what is told of an hour whose word of the day leaves it open, None where there is none."""
    found = _BESIDE.search(unicodedata.normalize("NFKC", text))
    if found is None:
        return None
    word, hour = found["before"] or found["behind"], found["hour"] or found["sooner"]
    if hours(pa.array([word]), np.array([int(hour)]))[0] < 0:
        return "its hour and its word of the day do not go together for sure; write the hour from 0 to 23"
    return None
