"""docling-serve with docling, for formats that need no model: logs its port on standard error when it is ready.

GET /seen lists every other request that came in: method, path with query, headers and the status it was answered with.
Settings are docling-serve's own, in the environment.
"""

import json
import os
import socket
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

# The models that docling-serve would load as it starts are those for PDF and images.
os.environ.setdefault("DOCLING_SERVE_LOAD_MODELS_AT_BOOT", "false")
os.environ.setdefault("DOCLING_SERVE_LOG_LEVEL", "WARNING")
# How often a request without /async looks whether its document is done; 2 otherwise.
os.environ.setdefault("DOCLING_SERVE_SYNC_POLL_INTERVAL", "1")


def stand_in(name, **members):
    """A module that is there already when somebody imports it, so that what it would import is not needed."""
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    module.__dict__.update(members)
    sys.modules[name] = module


def leave_out_models():
    """HTML and DOCX reach no model; torch, transformers and Ray, which are imported all the same, are gigabytes."""
    stand_in("docling.pipeline.asr_transformers", TransformersAsrDecoder=None)
    stand_in("docling.models.vlm_pipeline_models.hf_transformers_model", HuggingFaceTransformersVlmModel=None)

    from docling.models.plugins import defaults
    from docling.models.stages.table_structure.table_structure_model import TableStructureModel

    defaults.table_structure_engines = lambda: {"table_structure_engines": [TableStructureModel]}

    from docling_jobkit import orchestrators

    # Without what its __init__ imports; the records in it are wanted.
    stand_in("docling_jobkit.orchestrators.ray", __path__=[f"{orchestrators.__path__[0]}/ray"])

    from docling.document_converter import DocumentConverter

    # Whatever the document, docling-serve loads the models for PDF before it looks at it.
    DocumentConverter.initialize_pipeline = lambda self, format: None


def watched(app):
    seen = []

    async def answer(scope, receive, send):
        if scope["type"] != "http":
            return await app(scope, receive, send)
        if scope["path"] == "/seen":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            return await send({"type": "http.response.body", "body": json.dumps(seen).encode()})
        query = scope["query_string"].decode()

        async def note(message):
            if message["type"] == "http.response.start":
                seen.append(
                    {
                        "method": scope["method"],
                        "path": scope["path"] + (f"?{query}" if query else ""),
                        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
                        "status": message["status"],
                    }
                )
            await send(message)

        await app(scope, receive, note)

    return answer


# Before anything of docling-serve is imported.
leave_out_models()

import uvicorn
from docling_serve.app import create_app

listener = socket.create_server(("127.0.0.1", 0))


class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        line = {"level": "info", "msg": "listening", "port": listener.getsockname()[1]}
        print(json.dumps(line), file=sys.stderr, flush=True)


Server(uvicorn.Config(watched(create_app()), log_level="warning")).run([listener])
