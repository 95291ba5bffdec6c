from .contract import Abilities as Abilities
from .contract import Message as Message
from .contract import Scored as Scored
from .contract import Speaker as Speaker
from .contract import Speech as Speech
from .contract import SpeechRequest as SpeechRequest
