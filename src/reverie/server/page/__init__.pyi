from .page import PAGE as PAGE
