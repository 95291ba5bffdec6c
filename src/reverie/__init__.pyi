from .bundles import load as load
from .dreaming import Reverie as Reverie
from .dreaming.preview import PreviewConfig as PreviewConfig
from .dreaming.preview import RuntimeConfig as RuntimeConfig
from .errors import ReverieError as ReverieError
from .memory import Memory as Memory
from .nouns import Answer as Answer
from .nouns import Dream as Dream
from .nouns import Fact as Fact
from .nouns import Frame as Frame
from .nouns import Part as Part
from .nouns import Triplet as Triplet
from .nouns import Verdict as Verdict

__version__: str
