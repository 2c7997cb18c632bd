"""The demo city of 株洲: real names and codes, synthetic shapes, things and happenings."""

from gis.demo.generate import DemoCity, Size, generate

__all__ = ["DemoCity", "Size", "generate"]
