from .routes import openai_api as openai_api
