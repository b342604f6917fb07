"""Names that Python's own modules had when the app's pinned packages were made, put back where they are gone."""

import importlib.machinery
import sys


def _collections(module):
    from _collections_abc import __all__ as names
    import _collections_abc as abc

    for name in names:
        if not hasattr(module, name):
            setattr(module, name, getattr(abc, name))


def _inspect(module):
    if hasattr(module, "getargspec"):
        return
    from collections import namedtuple

    spec = namedtuple("ArgSpec", "args varargs keywords defaults")

    def getargspec(function):
        return spec(*module.getfullargspec(function)[:4])

    module.ArgSpec, module.getargspec = spec, getargspec


def _gettext(module):
    plain = module.translation

    def translation(domain, localedir=None, languages=None, class_=None, fallback=False, codeset=None):
        return plain(domain, localedir, languages, class_, fallback)

    module.translation = translation
    if not hasattr(module.NullTranslations, "set_output_charset"):
        module.NullTranslations.set_output_charset = lambda self, charset: None


def _asyncio(module):
    if not hasattr(module, "coroutine"):
        from types import coroutine

        module.coroutine = coroutine


def _time(module):
    if not hasattr(module, "clock"):
        module.clock = module.perf_counter


def _fractions(module):
    from math import gcd

    module.gcd = gcd


def _base64(module):
    module.encodestring, module.decodestring = module.encodebytes, module.decodebytes


def _threading(module):
    if not hasattr(module.Thread, "isAlive"):
        module.Thread.isAlive = module.Thread.is_alive


def _parser(module):
    from html import unescape

    module.HTMLParser.unescape = lambda self, text: unescape(text)


def _cgi(module):
    from html import escape

    module.escape = lambda text, quote=False: escape(text, quote)


_AFTER = {
    "asyncio": _asyncio,
    "base64": _base64,
    "cgi": _cgi,
    "collections": _collections,
    "fractions": _fractions,
    "gettext": _gettext,
    "html.parser": _parser,
    "inspect": _inspect,
    "threading": _threading,
    "time": _time,
}


class _Finder:
    """Finds what everybody finds, and mends it once it is loaded."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        mend = _AFTER.pop(name, None)
        if mend is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            mend(module)

        spec.loader.exec_module = exec_module
        return spec


for _name in list(_AFTER):
    if _name in sys.modules:
        _AFTER.pop(_name)(sys.modules[_name])
sys.meta_path.insert(0, _Finder)
