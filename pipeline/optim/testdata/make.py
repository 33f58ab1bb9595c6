# Makes steps.json: a logistic regression of three numbers and a bias on 60 batches of
# 8 rows, trained in float64 by PyTorch's rules and by Keras' Ftrl, which it lacks,
# from weights that are not zero (those of Ftrl are). To make it again: pip install
# torch==2.15.0 keras==3.15.1, and KERAS_BACKEND=torch python make.py.
import json

import keras
import torch

torch.set_default_dtype(torch.float64)
torch.manual_seed(7)
BATCHES, ROWS = 60, 8
x = torch.randn(BATCHES, ROWS, 3) * torch.tensor([1.0, 4.0, 0.1])
x = x.float().double()
y = (torch.sigmoid(x @ torch.tensor([1.0, -0.5, 3.0]) - 0.3) > torch.rand(BATCHES, ROWS)).double()
start = [0.5, -0.25, 1.0, 0.125]
cases = {}


def loss(w, b, i):
    return torch.nn.functional.binary_cross_entropy_with_logits(x[i] @ w + b, y[i])


def case(name, rule, decay=0.0, schedule=None, clip=None, l2=0.0):
    w = torch.tensor(start[:3], requires_grad=True)
    b = torch.tensor(start[3], requires_grad=True)
    o = rule([{"params": [w], "weight_decay": decay + l2}, {"params": [b], "weight_decay": 0.0}])
    s = schedule(o) if schedule else None
    for i in range(BATCHES):
        o.zero_grad()
        loss(w, b, i).backward()
        if clip:
            clip([w, b])
        o.step()
        if s:
            s.step()
    cases[name] = w.tolist() + [b.item()]


t, s = torch.optim, torch.optim.lr_scheduler
sgd = lambda p: t.SGD(p, lr=0.1)
case("sgd", sgd)
case("sgd, l2", sgd, l2=0.05)
case("momentum", lambda p: t.SGD(p, lr=0.02, momentum=0.9))
case("nesterov", lambda p: t.SGD(p, lr=0.02, momentum=0.9, nesterov=True))
case("adagrad", lambda p: t.Adagrad(p, lr=0.1, eps=1e-10))
# PaddlePaddle's decayed Adagrad is this.
case("decayed_adagrad", lambda p: t.RMSprop(p, lr=0.01, alpha=0.95, eps=1e-6))
case("rmsprop", lambda p: t.RMSprop(p, lr=0.01, alpha=0.99, momentum=0.5, eps=1e-8))
case("adadelta", lambda p: t.Adadelta(p, lr=1.0, rho=0.9, eps=1e-6))
case("adam", lambda p: t.Adam(p, lr=0.02, betas=(0.9, 0.99), eps=1e-8))
case("adam, l2", lambda p: t.Adam(p, lr=0.02, betas=(0.9, 0.99), eps=1e-8), l2=0.05)
adamw = lambda p: t.AdamW(p, lr=0.02, betas=(0.9, 0.99), eps=1e-8)
case("adamw", adamw, decay=0.1)
case("adamw, cosine", adamw, decay=0.1, schedule=lambda o: s.SequentialLR(
    o, [s.LinearLR(o, 0.1, total_iters=9), s.CosineAnnealingLR(o, BATCHES - 10)], [10]))
case("step", sgd, schedule=lambda o: s.StepLR(o, 7, 0.5))
case("exponential", sgd, schedule=lambda o: s.ExponentialLR(o, 0.96 ** (1 / 7)))
inverse = keras.optimizers.schedules.InverseTimeDecay(1.0, 7, 3.0)
case("inverse", sgd, schedule=lambda o: s.LambdaLR(o, lambda i: float(inverse(float(i)))))
case("clipped values", sgd, clip=lambda p: torch.nn.utils.clip_grad_value_(p, 0.1))
case("clipped norm", sgd, clip=lambda p: torch.nn.utils.clip_grad_norm_(p, 0.2))


# Keras has l1 and l2 on all variables and halves its l2: the bias has a rule without.
keras.config.set_floatx("float64")


def ftrl(l1, l2):
    return keras.optimizers.Ftrl(learning_rate=0.5, initial_accumulator_value=0.0, beta=1.0,
                                 l1_regularization_strength=l1, l2_regularization_strength=l2 / 2)


for name, l1, l2 in [("ftrl", 0.0, 0.0), ("ftrl, l1, l2", 2.0, 0.5)]:
    w, b = keras.Variable([0.0] * 3, dtype="float64"), keras.Variable(0.0, dtype="float64")
    ow, ob = ftrl(l1, l2), ftrl(0.0, 0.0)
    for i in range(BATCHES):
        for v in (w.value, b.value):
            v.grad = None
        value = loss(w.value, b.value, i)
        gw, gb = torch.autograd.grad(value, [w.value, b.value])
        with torch.no_grad():
            ow.apply([gw], [w])
            ob.apply([gb], [b])
    cases[name] = w.value.tolist() + [b.value.item()]

# What torch.optim's ReduceLROnPlateau makes of a metric, its patience being one less.
rates, metric = [], [5, 4, 4.5, 4.1, 3, 3, 3.5, 3.2, 3.1, 2, 2.5, 2.5, 2.6, 2.7, 2.8]
o = sgd([torch.zeros(1)])
plateau = s.ReduceLROnPlateau(o, factor=0.5, patience=1, threshold=0, min_lr=0.1 * 0.1)
for v in metric:
    plateau.step(v)
    rates.append(round(o.param_groups[0]["lr"] / 0.1, 12))

with open("steps.json", "w") as f:
    json.dump({"rows": [[r + [l] for r, l in zip(xs, ls)] for xs, ls in zip(x.tolist(), y.tolist())], "start": start,
               "cases": cases, "metric": metric, "rates": rates}, f, separators=(",", ":"))
    f.write("\n")
