"""Which encoding the bytes of a file are in: decided by evidence over the file, never by one bad byte.

UTF-8 shows in the share of its valid sequences, GBK in the share of everyday characters that it gives:
Korean, Japanese, Big5 and Western bytes are mostly valid GBK, but give rare ones. For all others Mozilla's
chardetng is asked, and its guess is only told: what is neither is read once an operator says what it is.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from chardetng_py import EncodingDetector

from gis.errors import BadInput

SAMPLE = 4 << 20
"""Bytes of lines or values beyond ASCII from which an encoding is decided."""
_WIDE = frozenset({
    "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "gb18030", "big5hkscs",
    "cp932", "euc_jp", "iso2022_jp", "cp949", "koi8-r", "koi8-u", "mac-roman", "cp437", "cp850", "cp852",
    "cp866", "cp874", "hz", "iso2022_kr", "utf-7", *(f"cp125{n}" for n in range(9)),
    *(f"iso8859-{n}" for n in range(2, 17)),
})  # fmt: skip
_SUPERSETS = {
    "gb2312": "gb18030", "gbk": "gb18030", "big5": "big5hkscs", "cp950": "big5hkscs",
    "shift_jis": "cp932", "euc_kr": "cp949", "iso8859-1": "cp1252", "ascii": "utf-8", "utf-8-sig": "utf-8",
    "utf_8_sig": "utf-8", "tis-620": "cp874", "iso8859-11": "cp874",
}  # fmt: skip
"""What is read in place of an encoding: the one that has all its signs, as browsers do."""
_NUMBERED = {"936": "gb18030", "950": "big5hkscs", "932": "cp932", "949": "cp949", "65001": "utf-8"}
_UNREADABLE = re.compile("[\ufffd\ue000-\uf8ff\U000f0000-\U0010ffff\x80-\x9f]")
UNREADABLE = r"[\x{FFFD}\x{E000}-\x{F8FF}\x{F0000}-\x{10FFFF}]"
"""Replacement and private-use signs, for Arrow's expressions: what no file means to say."""
_GB2312 = re.compile(rb"[\xa1-\xf7][\xa1-\xfe]")
_EVERYDAY = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然"
    "家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把"
    "机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果"
    "加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔"
    "更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展"
    "马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共"
    "确传师观清今切院让识候带导争运甲乙丙丁村街镇乡县州省号楼栋室单元网警所派巷弄组户号编码称址型等级状态来源描述红"
    "黄蓝绿园桥河江湖湾塘坪冲岭店商厦广场站车铁港城花草木林土石田李刘陈杨赵吴周徐孙胡朱郭何罗宋郑谢韩唐冯董萧曹袁邓"
    "许傅沈曾彭吕苏卢蒋蔡贾魏薛叶阎余潘杜戴夏钟汪任姜范方姚谭廖邹熊陆郝孔康毛邱秦江史顾侯邵孟龙段雷钱汤尹黎易武乔贺"
    "男是否盗窃噪音扰消防火灾故障投诉纠纷违停占道垃圾污染摄像头球枪固定离线在线正常处置办结核查已未其他举报求助网格员"
    "春秋冬东南西北左右前后侧附近对面旁交叉旧馆医药店银行超市饭酒宾幼儿园政府委派出所物流仓库厂宿舍小区公寓苑庭府居"
    "博物图书体育银杏桂枫荷芦淞渌茶炎醴株洲湘潭沙丰天泰兴隆永宁福祥瑞华荣昌盛祖庙寺塔岩井泉溪坡坝坳冶钢机电码头渡建"
    "設國學區號樓東車門經緯編類時間發現場處點縣鎮鄉灣臺路街市北新竹義信愛仁和平忠孝復興中山民生"
)
"""Characters of everyday texts, addresses, names and forms (simplified, with some traditional)."""
_PUNCTUATION = re.compile("[\u2010-\u2027\u3000-\u303f\uff00-\uffef\u00b7°×±℃①-⑳]")


@dataclass(frozen=True)
class Declared:
    """An encoding that is said, and by what."""

    encoding: str
    by: str


def named(name: str) -> str:
    """Return Python's name of an encoding, or of the one that holds it (GBK → gb18030).

    Raises BadInput when it is unknown or no encoding of texts.
    """
    plain = name.strip().lower()
    for prefix in ("cp", "ms", "windows-", "ansi ", "oem "):
        plain = _NUMBERED.get(plain.removeprefix(prefix), plain)
    try:
        found = codecs.lookup(
            f"cp{plain}" if re.fullmatch(r"\d{3,4}", plain) else plain.replace("ansi ", "cp")
        ).name
    except (LookupError, ValueError):
        found = ""
    found = _SUPERSETS.get(found, found)
    if found not in _WIDE:
        raise BadInput("encoding", f"{name[:40]!r} is unknown; say utf-8, gb18030, big5, windows-1252 …")
    return found


_SEVEN_BIT = (
    (re.compile(rb"~\{(?:[\x21-\x77][\x21-\x7e])+~\}"), "hz"),
    (re.compile(rb"\x1b\$\)C"), "iso2022_kr"),
    (re.compile(rb"\x1b(?:\$[@B]|\([IJ])"), "iso2022_jp"),
    (re.compile(rb"\x1b\$[)*+]?[A-Z]"), "iso-2022-cn"),
)
"""What only encodings of seven bits write, and which (RFC 1843, 1557, 1468, 1922)."""
_SHIFTED = re.compile(rb"\+([A-Za-z0-9+/]{3,120})-")


def seven_bit(block: bytes) -> str | None:
    """Return the encoding that hides other signs in the ASCII of some bytes, None where none shows."""
    found = next((name for signs, name in _SEVEN_BIT if signs.search(block)), None)
    return found or ("utf-7" if _is_utf7(block[: 1 << 16]) else None)


def _is_utf7(block: bytes) -> bool:
    """Tell whether what UTF-7 would shift (RFC 2152) says something in Chinese: `+86138…-` does not."""
    shifted = b"".join(hit[0] for hit in _SHIFTED.finditer(block))
    text = shifted.decode("utf-7", "replace").encode("gb18030", "replace")
    return bool(shifted) and len(_signs(text, "gb18030")) > 1 and everyday_share(text, "gb18030") >= 0.4


def refuse_seven_bit(found: str | None, file: str) -> None:
    """Raise BadInput where a file that seems ASCII is in an encoding of seven bits."""
    if found is None:
        return
    known = f"say --encoding {found}" if found in _WIDE else "save it as UTF-8"
    raise BadInput(
        "encoding",
        f"{file} seems to be in {found}, which writes other signs in ASCII: {known} "
        "if it is, --encoding utf-8 if it means what it shows",
    )


def sample(pieces: Iterable[bytes]) -> bytes:
    """Return the pieces (lines, values) that hold more than ASCII, a line each, as far as a sample goes."""
    return b"\n".join(_bounded(pieces))


def _bounded(pieces: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        if not piece.isascii():
            yield piece[:SAMPLE]
            size += len(piece)
        if size > SAMPLE:
            return


def _signs(given: bytes, encoding: str) -> str:
    """Return what bytes are in an encoding, without what is ASCII."""
    return re.sub(r"[\x00-\x7f]+", "", given.decode(encoding, "replace"))


def readable_share(given: bytes, encoding: str) -> float:
    """Return which share of the signs beyond ASCII is valid, and neither private use nor control."""
    signs = _signs(given, encoding)
    return 1 - len(_UNREADABLE.findall(signs)) / len(signs) if signs else 1.0


def everyday_share(given: bytes, encoding: str) -> float:
    """Return which share of the signs beyond ASCII an everyday Chinese text would have."""
    signs = _signs(given, encoding)
    usual = sum(sign in _EVERYDAY for sign in signs) + len(_PUNCTUATION.findall(signs))
    return usual / len(signs) if signs else 0.0


def guess(given: bytes) -> str:
    """Return what chardetng takes bytes for, as Python's name."""
    detector = EncodingDetector()
    detector.feed(given, last=True)
    try:
        return named(detector.guess(tld=None, allow_utf8=True))
    except BadInput:
        return "utf-8"


def _long_utf8(given: bytes) -> bool:
    """Tell whether UTF-8 finds sequences of three bytes and more, which other encodings hardly ever form."""
    return any(sign > "\u07ff" and sign != "\ufffd" for sign in _signs(given, "utf-8"))


def _is_chinese(given: bytes) -> bool:
    """Tell whether bytes are GBK by what they say."""
    if readable_share(given, "gb18030") < 0.8:
        return False
    if everyday_share(given, "gb18030") >= 0.4:
        return True
    return guess(given) == "gb18030" and _plain_share(given) >= 0.6


def _plain_share(given: bytes) -> float:
    """Return which share of the characters that GBK gives is in GB 2312, which has all but rare ones."""
    signs = len(_signs(given, "gb18030"))
    return len(_GB2312.findall(given)) / signs if signs else 1.0


def decide(given: bytes, file: str) -> str:
    """Return the encoding of a sample that nobody says: UTF-8 or GB 18030.

    Raises BadInput, which names the likeliest others, when it is neither or could be both.
    """
    if not given:
        return "utf-8"
    utf8 = readable_share(given, "utf-8") >= 0.5
    if utf8 and not _long_utf8(given) and _is_chinese(given):
        told = f"{_example(given, 'utf-8')!r} in UTF-8, {_example(given, 'gb18030')!r} in GBK"
        raise BadInput(
            "encoding", f"{file} may be either: {told}; say --encoding utf-8 or --encoding gb18030"
        )
    if utf8:
        return "utf-8"
    if _is_chinese(given):
        return "gb18030"
    likely = guess(given)
    raise BadInput(
        "encoding",
        f"{file} is neither UTF-8 nor GBK; as {likely} it would say {_example(given, likely)!r}: "
        f"say --encoding {likely} if that is right, or the encoding that it has, or save it as UTF-8",
    )


def _example(given: bytes, encoding: str) -> str:
    """Return the first words that are more than ASCII, as they would be read."""
    start = max(re.search(rb"[\x80-\xff]", given).start() - 20, 0)  # type: ignore[union-attr] # there is one
    start = given.rfind(b"\n", 0, start + 20) + 1 or start
    return given[start : start + 200].decode(encoding, "replace").strip().partition("\n")[0][:40]


def settle(given: bytes, declared: Declared | None, file: str) -> str:
    """Return the encoding of a sample: the one that is said, unless bytes contradict it; else by evidence.

    Raises BadInput when they do, or when the evidence does not suffice.
    """
    if declared is None:
        return decide(given, file)
    said = named(declared.encoding)
    better = _contradiction(given, said) if given else None
    if better == said:
        raise BadInput(
            "encoding", f"{file}: {declared.by} says {declared.encoding}, which its bytes do not fit"
        )
    if better:
        raise BadInput(
            "encoding",
            f"{file}: {declared.by} says {declared.encoding}, but its bytes speak for {better} "
            f"({_example(given, better)!r} instead of {_example(given, said)!r}); say --encoding {better}",
        )
    return said


def _contradiction(given: bytes, said: str) -> str | None:
    """Return what bytes speak for against the encoding that is said: itself, where nothing else is known."""
    readable = readable_share(given, said)
    if said == "utf-8":
        return None if readable >= 0.5 else _otherwise(given, said)
    if said.startswith("utf-") and readable == 1:
        return None
    if _is_surely_utf8(given, said):
        return "utf-8"
    chinese = everyday_share(given, "gb18030") if said != "gb18030" else 0.0
    if chinese >= 0.4 and chinese > 2 * everyday_share(given, said) and len(_signs(given, "gb18030")) > 1:
        return "gb18030"
    if said == "gb18030" and not _may_be_gbk(given):
        return _otherwise(given, said)
    return None if readable >= 0.5 else _otherwise(given, said)


def _otherwise(given: bytes, said: str) -> str:
    return "gb18030" if said != "gb18030" and _is_chinese(given) else guess(given)


def _is_surely_utf8(given: bytes, said: str) -> bool:
    enough = 2 if said == "gb18030" else 1
    several = len(_signs(given, "utf-8")) >= enough and not _is_chinese(given)
    return readable_share(given, "utf-8") >= 0.9 and (_long_utf8(given) or several)


def _may_be_gbk(given: bytes) -> bool:
    few = len(_signs(given, "gb18030")) < 4
    return few or everyday_share(given, "gb18030") >= 0.25 or guess(given) == "gb18030"


def is_misread(value: str, encoding: str) -> bool:
    """Tell whether a value read in another encoding is UTF-8 as bytes: a row of another file's kind."""
    try:
        back = value.encode(encoding).decode()
    except UnicodeError:
        return False
    return any(sign > "\u07ff" for sign in back) or (encoding.startswith("cp125") and not back.isascii())
