"""The page that asks a browser for the token."""

from __future__ import annotations

import html

__all__ = ["SIGN_IN_PATH", "sign_in_page"]

SIGN_IN_PATH = "/sign-in"

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in · Reverie</title>
<style>
  :root {{ color-scheme: light dark; }}
  body {{ margin: 0; min-height: 100vh; display: grid; place-items: center;
         font: 16px/1.5 system-ui, sans-serif; }}
  form {{ width: min(22rem, 86vw); display: grid; gap: .75rem; }}
  h1 {{ font: 600 1.5rem/1.2 Georgia, serif; margin: 0; }}
  p {{ margin: 0; }}
  input, button {{ font: inherit; padding: .6rem .75rem; border-radius: 6px; border: 1px solid #8888; }}
  button {{ background: #1f2a37; color: #fff; border-color: #1f2a37; cursor: pointer; }}
</style>
</head>
<body>
<form method="post" action="{action}">
  <h1>Reverie</h1>
  <label for="token">This server asks for a token.</label>
  <input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
  {problem}
  <button>Sign in</button>
</form>
</body>
</html>
"""


def sign_in_page(problem: str = "") -> str:
    """The HTML of the form; ``problem`` says why it is shown again."""
    said = f'<p role="alert">{html.escape(problem)}</p>' if problem else ""
    return _PAGE.format(action=SIGN_IN_PATH, problem=said)
