from .embedders import make_embedder as make_embedder
from .memory import Memory as Memory
from .recall import RecallConfig as RecallConfig
from .store import Store as Store
from .topology import Topology as Topology
