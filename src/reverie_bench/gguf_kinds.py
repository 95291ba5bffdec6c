"""A GGUF file with its weights in another kind, for races of the same base at several precisions."""

from __future__ import annotations

from pathlib import Path

__all__ = ["requantized"]


def requantized(source: Path, kind: str, target: Path) -> Path | str:
    """Write ``source`` anew to ``target`` with its matrices as ``kind`` ("F32", "Q8_0", …); why it cannot be done.

    Norms stay as they are. What a coarser kind lost is not found again: speeds are the same, answers are not better.
    """
    try:
        import gguf
        from gguf import quants
    except ModuleNotFoundError:
        return "gguf is not installed"
    reader, wanted = gguf.GGUFReader(source), gguf.GGMLQuantizationType[kind]
    fields = {name: field for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    writer = gguf.GGUFWriter(target, fields["general.architecture"].contents())
    for name, field in fields.items():
        if name not in ("general.architecture", "general.file_type", "general.quantization_version"):
            inner = field.types[1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], inner)
    try:
        for tensor in reader.tensors:
            values = quants.dequantize(tensor.data, tensor.tensor_type)
            if len(tensor.shape) > 1 and wanted != gguf.GGMLQuantizationType.F32:
                writer.add_tensor(tensor.name, quants.quantize(values, wanted), raw_dtype=wanted)
            else:
                writer.add_tensor(tensor.name, values)
    except NotImplementedError:
        return f"gguf cannot write {kind}"
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target
