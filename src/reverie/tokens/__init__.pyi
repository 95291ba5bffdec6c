from .grammar import Document as Document
from .grammar import Grammar as Grammar
from .grammar import GrammarState as GrammarState
from .id_map import IdMap as IdMap
from .image import ImageTokenizer as ImageTokenizer
from .image import ImageTokenizerConfig as ImageTokenizerConfig
from .text import TextTokenizer as TextTokenizer
from .vocabulary import Vocabulary as Vocabulary
