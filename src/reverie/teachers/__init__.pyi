from .traces import Trace as Trace
from .traces import Traces as Traces
from .traces import read_traces as read_traces
