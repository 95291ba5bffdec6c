"""What the page needs of the library it is made with; the rest (proxying, developing, monitoring, tools) is closed."""

from __future__ import annotations

import re

from reverie.server.http.guard import PagePaths

__all__ = ["PAGE_PATHS"]

PAGE_PATHS = PagePaths(
    known=re.compile(
        r"/(|config/?|theme\.css|favicon\.ico|manifest\.json|robots\.txt|pwa_icon(/\d+)?|(assets|static|svelte)/.*"
        r"|gradio_api/(heartbeat/\w+|upload/?|upload_progress|startup-events|app_id/?|cancel|reset/?|info/?"
        r"|queue/(join|data)|file=(?!https?:).*|theme\.css|custom_component/.*))",
        re.ASCII | re.IGNORECASE,
    ),
    uploads=("/gradio_api/upload", "/gradio_api/upload/"),
    calls="/gradio_api/",
)
