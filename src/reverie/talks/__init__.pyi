from .log import Feedback as Feedback
from .log import LoggedTalk as LoggedTalk
from .log import LoggedTurn as LoggedTurn
from .log import TalkLog as TalkLog
