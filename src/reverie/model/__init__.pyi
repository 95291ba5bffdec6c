from .backbone import Backbone as Backbone
from .backbone import BackboneConfig as BackboneConfig
