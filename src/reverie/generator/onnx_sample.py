"""Run an exported generator: a seed → a picture and its caption, with onnxruntime and numpy alone.

This file stands on its own: the export copies it into its folder as ``sample.py``.

    python sample.py --seed 7                       # writes 7.png and prints its caption
    python sample.py --seed 7 --prompt "a ship"     # needs the package tokenizers, too
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

__all__ = ["OnnxGenerator", "png_bytes", "seed_noise"]


class OnnxGenerator:
    """An export, opened. The same seed gives the same sample as the generator that it was made of.

    Args:
        folder: where the export lies
        providers: of onnxruntime, as in ["CUDAExecutionProvider", "CPUExecutionProvider"]

    Raises ValueError, FileNotFoundError and errors of onnxruntime where the folder is no export, or a damaged one.
    """

    def __init__(self, folder: str | Path, providers: Sequence[str] = ("CPUExecutionProvider",), num_threads: int = 0):
        self.folder = Path(folder)
        self.config: dict[str, Any] = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        if self.config.get("kind") != "generator-onnx" or self.config.get("format") != 1:
            raise ValueError(f"{self.folder} holds no exported generator of a format that is known here")
        self._pieces: list[str] = json.loads((self.folder / "words.json").read_text(encoding="utf-8"))
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = num_threads  # 0: as many as there are cores
        self._providers = list(providers)
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}

    @property
    def default_prior(self) -> str:
        return str(self.config["default_prior"])

    def run(self, name: str, **inputs: np.ndarray) -> np.ndarray:
        """The first output of ``NAME.onnx``; the file is opened when it is first needed."""
        if name not in self._sessions:
            path = str(self.folder / f"{name}.onnx")
            self._sessions[name] = onnxruntime.InferenceSession(path, self._options, providers=self._providers)
        return np.asarray(self._sessions[name].run(None, inputs)[0])

    def latents(
        self, seeds: Sequence[int], prior: str = "", temperature: float = 1.0, prompt: str = "", guidance: float = 2.0
    ) -> np.ndarray:
        """Seeds → latents float32 (N, D). With a ``prompt`` a prior that follows it is used where none is named."""
        hearing = [name for name, facts in self.config["priors"].items() if facts["follows_captions"]]
        name = prior or (hearing[0] if prompt and hearing else self.default_prior)
        if name not in self.config["priors"]:
            raise ValueError(f"there is no prior '{name}'; there are {', '.join(self.config['priors'])}")
        if prompt and name not in hearing:
            raise ValueError(f"the prior '{name}' follows no prompt")
        if odd := [seed for seed in seeds if not 0 <= seed < 2**32]:
            raise ValueError(f"a seed lies between 0 and 2^32 - 1, got {odd[0]}")
        noise = np.stack([seed_noise(seed, self.config["priors"][name]["noise_size"]) for seed in seeds])
        return self.draw(noise, name, temperature, self.embed([prompt]) if prompt else None, guidance)

    def draw(
        self,
        noise: np.ndarray,
        prior: str = "",
        temperature: float = 1.0,
        condition: np.ndarray | None = None,
        guidance: float = 2.0,
    ) -> np.ndarray:
        """Your own standard normal noise float32 (N, Z) → latents (N, D). ``condition``: a caption's latent (1, D)."""
        size = self.config["latent_size"]
        told = np.zeros((1, size), np.float32) if condition is None else condition
        strength = 0.0 if condition is None else guidance
        return self.run(
            f"prior_{prior or self.default_prior}",
            noise=noise.astype(np.float32),
            temperature=np.full(1, temperature, np.float32),
            condition=np.broadcast_to(told, (len(noise), size)).astype(np.float32),
            guidance=np.full(1, strength, np.float32),
        )

    def paint(self, latents: np.ndarray) -> np.ndarray:
        """Latents (N, D) → pictures uint8 (N, S, S, 3)."""
        painted = self.run("picture_decoder", latents=latents)  # about [-1, 1]
        return np.rint((painted.clip(-1, 1) + 1) * 127.5).astype(np.uint8).transpose(0, 2, 3, 1)

    def describe(self, latents: np.ndarray) -> list[str]:
        """Latents (N, D) → captions, the likeliest id each time."""
        begin, end = self.config["begin_id"], self.config["end_id"]
        ids = np.full((len(latents), 1), begin, np.int64)
        for _ in range(self.config["caption_ids"] - 1):
            logits = self.run("caption_decoder", latents=latents, ids=ids)  # (N, V)
            logits[:, [self.config["pad_id"], begin]] = -np.inf
            chosen = np.where((ids == end).any(1), end, logits.argmax(1))
            ids = np.concatenate([ids, chosen[:, None]], 1)
            if (chosen == end).all():
                break
        return [self.decode(row) for row in ids[:, 1:].tolist()]

    def encode(self, pictures: np.ndarray) -> np.ndarray:
        """Square pictures uint8 (N, S, S, 3) of the generator's own side → latents (N, D)."""
        side = self.config["side"]
        if pictures.dtype != np.uint8 or pictures.shape[1:] != (side, side, 3):
            raise ValueError(f"pictures are uint8 (N, {side}, {side}, 3), got {pictures.dtype} {pictures.shape}")
        scaled = pictures.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
        return self.run("picture_encoder", pictures=scaled)

    def embed(self, captions: Sequence[str]) -> np.ndarray:
        """Captions → latents (N, D). Needs the package tokenizers."""
        from tokenizers import Tokenizer

        first, longest = self.config["first_word_id"], self.config["caption_ids"]
        tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        rows = []
        for caption in captions:
            words = tokenizer.encode(" " + caption).ids if caption else []
            rows.append(
                [self.config["begin_id"], *(first + one for one in words[: longest - 2]), self.config["end_id"]]
            )
        ids = np.full((len(rows), max(map(len, rows))), self.config["pad_id"], np.int64)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = row
        return self.run("caption_encoder", ids=ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Ids up to the first end → a caption; broken UTF-8 becomes U+FFFD."""
        ids = list(ids)
        end = self.config["end_id"]
        ids = ids[: ids.index(end)] if end in ids else ids
        text = "".join(self._pieces[one] for one in ids).encode("latin-1").decode("utf-8", "replace")
        return text.removeprefix(" ")

    def sample(
        self, seeds: Sequence[int], prior: str = "", temperature: float = 1.0, prompt: str = "", guidance: float = 2.0
    ) -> list[tuple[np.ndarray, str]]:
        """A picture, uint8 (S, S, 3), and its caption for each seed."""
        made = []
        for seed in seeds:  # one by one: products of other sizes round differently
            latents = self.latents([seed], prior, temperature, prompt, guidance)
            made.append((self.paint(latents)[0], self.describe(latents)[0]))
        return made

    def caption(self, pictures: np.ndarray) -> list[str]:
        """What the generator would write below square pictures uint8 (N, S, S, 3)."""
        return self.describe(self.encode(pictures))


def seed_noise(seed: int, size: int) -> np.ndarray:
    """float32 (size,): the normal numbers of ``torch.randn(size, generator=torch.Generator().manual_seed(seed))``.

    Torch on a CPU and numpy's RandomState run the same Mersenne twister; only the way from its words to normal numbers
    is torch's own. It is followed here: two at a time below 16 numbers, else in blocks of 16 of which the last may
    overlap the one before it. Logarithms and sines are numpy's: the numbers agree to about 1e-6.
    """
    twister = np.random.RandomState(seed % 2**32)

    def words(count: int) -> np.ndarray:
        return np.frombuffer(twister.bytes(4 * count), "<u4").astype(np.uint64)

    def bends(first: np.ndarray, second: np.ndarray) -> np.ndarray:  # Box and Muller, 1958
        radius, angle = np.sqrt(-2 * np.log1p(-first)), 2 * np.pi * second
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)])

    if size < 16:
        halves = words(2 * (size + size % 2)).reshape(-1, 2)
        shares = (halves[:, 0] << np.uint64(32) | halves[:, 1]) % 2**53 / 2.0**53
        return bends(shares[1::2], shares[::2]).T.reshape(-1)[:size].astype(np.float32)
    shares = words(size) % 2**24 / 2.0**24
    numbers = shares.copy()
    for start in range(0, size - 15, 16):
        numbers[start : start + 16] = bends(shares[start : start + 8], shares[start + 8 : start + 16]).reshape(-1)
    if size % 16:
        shares = words(16) % 2**24 / 2.0**24
        numbers[-16:] = bends(shares[:8], shares[8:]).reshape(-1)
    return numbers.astype(np.float32)


def png_bytes(picture: np.ndarray) -> bytes:
    """A picture uint8 (H, W, 3) as a PNG file."""
    height, width = picture.shape[:2]
    lines = b"".join(b"\0" + row.tobytes() for row in picture)
    chunks = (
        (b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    )
    packed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write SEED.png for each seed, and its caption on stdout."""
    parser = argparse.ArgumentParser(description="Sample an exported generator.")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent, help="the export (default: beside this)")
    parser.add_argument("--seed", type=int, nargs="+", default=[0], help="0 or more")
    parser.add_argument("--prompt", default="", help="what the pictures should show")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default=Path(), help="the folder for the pictures")
    given = parser.parse_args(arguments)
    try:
        generator = OnnxGenerator(given.folder)
        made = generator.sample(given.seed, temperature=given.temperature, prompt=given.prompt)
        given.out.mkdir(parents=True, exist_ok=True)
        for seed, (picture, caption) in zip(given.seed, made, strict=True):
            (given.out / f"{seed}.png").write_bytes(png_bytes(picture))
            sys.stdout.write(f"{seed}.png: {caption}\n")
    except (OSError, ValueError, ImportError) as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
