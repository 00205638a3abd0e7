"""Prints what has to be known about the interpreter that runs it, as JSON."""

import importlib.util
import json
import os
import sys
import sysconfig

NEEDED = ["ctypes", "ssl", "zlib", "bz2", "lzma", "sqlite3", "asyncio", "multiprocessing", "uuid", "pip"]

print(
    json.dumps(
        {
            "version": list(sys.version_info[:3]),
            "executable": os.path.realpath(sys.executable),
            "stdlib": sysconfig.get_path("stdlib"),
            "missing": [m for m in NEEDED if importlib.util.find_spec(m) is None],
        }
    )
)
