"""The accent colour of another company (BRAND_ACCENT), in the shades that the pages need."""

import re

_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_WHITE, _INK = (250, 250, 250), (18, 18, 18)  # --background in light, --card in dark
Rgb = tuple[int, int, int]


def stylesheet(accent: str) -> str:
    """The tokens of theme.css that carry the brand, derived from `accent` ("#rrggbb"); "" for anything else.

    As text it is darkened (lightened, in the dark theme) until it can be read: 4.5 to 1, WCAG 1.4.3.
    """
    if not _HEX.fullmatch(accent):
        return ""
    colour = _rgb(accent)
    light = _rule(":root", accent, _readable(colour, _WHITE, (0, 0, 0)), _mix(colour, _WHITE, 0.9))
    dark = _rule(".dark", accent, _readable(colour, _INK, (255, 255, 255)), _mix(colour, _INK, 0.85))
    return light + dark


def _rule(selector: str, accent: str, text: str, soft: Rgb) -> str:
    return f"{selector}{{--brand:{accent};--brand-text:{text};--brand-soft:{_hex(soft)};--ring:{text}}}\n"


def _readable(colour: Rgb, on: Rgb, towards: Rgb) -> str:
    steps = (_mix(colour, towards, step / 20) for step in range(21))
    return _hex(next(shade for shade in steps if _contrast(shade, on) >= 5))  # 5: also on the soft background


def _contrast(one: Rgb, other: Rgb) -> float:
    bright, dim = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _luminance(colour: Rgb) -> float:
    linear = [(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4) for c in (part / 255 for part in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _mix(colour: Rgb, other: Rgb, share: float) -> Rgb:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, other, strict=True))
    return red, green, blue


def _rgb(text: str) -> Rgb:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def _hex(colour: Rgb) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
