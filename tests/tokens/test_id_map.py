from __future__ import annotations

import torch

from reverie.tokens.id_map import IdMap


def test_the_grammar_counts_text_last_and_the_base_first() -> None:
    ids = IdMap(num_text=5, num_grammar=3)
    everything = torch.arange(8)
    assert ids.size == 8
    assert ids.to_base_ids(everything).tolist() == [5, 6, 7, 0, 1, 2, 3, 4]  # the grammar's 0 … 2, then text
    assert torch.equal(ids.to_grammar_ids(ids.to_base_ids(everything)), everything)


def test_logits_are_turned_as_their_ids_are() -> None:
    ids, logits = IdMap(4, 2), torch.randn(2, 3, 6).bfloat16()
    turned = ids.rotate_logits(logits)
    assert turned.dtype == torch.float32
    assert torch.equal(turned, logits.float()[..., ids.to_base_ids(torch.arange(6))])
