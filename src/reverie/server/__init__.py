"""The generator as a service: HTTP endpoints in OpenAI's and Ollama's shapes, and a web page beside them.

The endpoints and the page ask one ``Studio``, which paints on one thread, and every request passes one ``Guard``.
Nothing here knows how a picture is made. Read ``demo.py`` first; ``app.py`` joins the parts, ``safety.py`` is the door.
"""

from __future__ import annotations

from reverie.server.settings import DemoSettings, Doors, Limits

__all__ = ["DemoSettings", "Doors", "Limits"]
