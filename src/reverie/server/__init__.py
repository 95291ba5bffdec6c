"""What Reverie answers over HTTP. ``http/`` holds what any API needs, ``pictures/`` the generator as a service.

Read ``app.py`` of ``http/`` first: it joins an API's routes, the errors' shapes and the guard. No model logic is here.
"""
