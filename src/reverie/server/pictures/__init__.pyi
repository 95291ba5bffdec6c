from .demo import DemoSettings as DemoSettings
from .demo import run_demo as run_demo
from .service import GenerationService as GenerationService
