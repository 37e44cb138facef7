"""A member whose training adds its number to every parameter."""

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Add the member's number."""
    constant = np.float32(context.node_config["number"])
    arrays = message.content["arrays"].to_numpy_ndarrays()
    grown = ArrayRecord([array + constant for array in arrays])
    reply = RecordDict({"arrays": grown, "metrics": MetricRecord({"num-examples": 1})})
    return Message(content=reply, reply_to=message)
