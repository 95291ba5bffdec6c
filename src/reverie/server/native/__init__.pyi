from .routes import native_routes as native_routes
