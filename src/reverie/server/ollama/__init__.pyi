from .routes import ollama_api as ollama_api
