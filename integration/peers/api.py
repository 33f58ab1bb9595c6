"""A model behind FastAPI, as its documentation shows it."""

import os
import socket

import joblib
import pandas as pd
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

model = joblib.load(os.path.join(os.environ["MODEL"], "model.joblib"))
app = FastAPI()


class Flight(BaseModel):
    date: str
    distance: float
    origin: str
    destination: str


@app.post("/score")
def score(flight: Flight):
    row = pd.DataFrame([[flight.distance, flight.origin, flight.destination]], columns=["distance", "origin", "destination"])
    probability = float(model.predict_proba(row)[0, 1])
    return {"prediction": probability >= 0.5, "probability": probability}


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    print("serves at 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
