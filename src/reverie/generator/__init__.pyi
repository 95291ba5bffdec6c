from .generator import Generator as Generator
from .generator import Sample as Sample
from .generator import toy_generator as toy_generator
