#!/usr/bin/env python3
"""Sends DICOM files to overread and prints what it finds, with the heatmap of the first positive finding as a PNG.

    pip install grpcio grpcio-tools
    python docs/examples/analyze.py 127.0.0.1:7410 image.dcm [more.dcm ...]

The client code is generated from proto/ into a temporary folder; a real client would generate it once.
"""
import hashlib
import importlib
import pathlib
import sys
import tempfile
import grpc
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
CHUNK_BYTES_MAX = 1 << 20


def generate(folder):
    files = sorted(str(path) for path in PROTO.glob("overread/v1/*.proto"))
    include = pathlib.Path(protoc.__file__).parent / "_proto"
    asked = ["protoc", f"-I{PROTO}", f"-I{include}", f"--python_out={folder}", f"--grpc_python_out={folder}", *files]
    if protoc.main(asked) != 0:
        sys.exit("the API's files could not be compiled")
    sys.path.insert(0, folder)
    return lambda name: importlib.import_module(f"overread.v1.{name}")


def parts(module, paths):
    messages, Request = module("instance_pb2"), module("analysis_service_pb2").AnalyzeRequest
    for path in paths:
        data = pathlib.Path(path).read_bytes()
        yield Request(instance_start=messages.InstanceStart(size_bytes=len(data)))
        for at in range(0, len(data), CHUNK_BYTES_MAX):
            yield Request(chunk=data[at : at + CHUNK_BYTES_MAX])
        yield Request(instance_end=messages.InstanceEnd(sha256=hashlib.sha256(data).digest()))


def save_heatmap(module, channel, name, path):
    service = module("finding_service_pb2")
    stub = module("finding_service_pb2_grpc").FindingServiceStub(channel)
    request = service.GetHeatmapRequest(name=name, format=service.HEATMAP_FORMAT_OVERLAY_PNG)
    path.write_bytes(b"".join(message.chunk for message in stub.GetHeatmap(request)))
    print(f"heatmap: {path}")


def main(server, paths):
    positive = None
    with tempfile.TemporaryDirectory() as folder, grpc.insecure_channel(server) as channel:
        module = generate(folder)
        codes, outcomes = module("code_pb2").Code, module("finding_pb2").FindingOutcome
        receipts = module("instance_pb2").ReceiptOutcome
        stub = module("analysis_service_pb2_grpc").AnalysisServiceStub(channel)
        for message in stub.Analyze(parts(module, paths)):
            happened = message.event.WhichOneof("body")
            if message.HasField("receipt"):
                reason = message.receipt.reason
                print(paths[message.receipt.index], receipts.Name(message.receipt.outcome), reason.detail)
            elif happened == "finding_made":
                finding = message.event.finding_made.finding
                print(f"{finding.code.meaning}: {finding.probability:.2f} {outcomes.Name(finding.outcome)}")
                if finding.outcome == outcomes.Value("FINDING_OUTCOME_POSITIVE"):
                    positive = positive or finding
            elif happened == "target_not_analysed":
                reason = message.event.target_not_analysed.reason
                print(f"not analysed: {codes.Name(reason.code)} {reason.detail}")
            elif happened == "report_completed":
                print(f"report: {message.event.report_completed.report}")
        if positive:
            save_heatmap(module, channel, positive.heatmap, pathlib.Path(f"{positive.label}.png"))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
