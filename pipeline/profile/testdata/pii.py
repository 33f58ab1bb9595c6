"""Writes pii.json: which of many texts Presidio's pattern recognizers take for what, as a whole.
Needs presidio-analyzer; its language models are not needed."""
import json, random, sys, types
from unittest.mock import MagicMock
class Absent:  # language models, which patterns do without
    def find_spec(self, name, path=None, target=None):
        import importlib.machinery
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if name.split(".")[0] in ("spacy", "stanza", "thinc") else None
    def create_module(self, spec):
        m = MagicMock(); m.__path__ = []; m.__spec__ = spec; return m
    def exec_module(self, module): pass
sys.meta_path.insert(0, Absent())
from presidio_analyzer.predefined_recognizers import CreditCardRecognizer, EmailRecognizer, IbanRecognizer, IpRecognizer
import presidio_analyzer
random.seed(7)
recognizers = {"card numbers": (CreditCardRecognizer(), "CREDIT_CARD"), "e-mail addresses": (EmailRecognizer(), "EMAIL_ADDRESS"),
               "IBANs": (IbanRecognizer(), "IBAN_CODE"), "IP addresses": (IpRecognizer(), "IP_ADDRESS")}
def digits(n): return "".join(random.choice("0123456789") for _ in range(n))
def luhn(body):
    total = 0
    for i, c in enumerate(reversed(body)):
        n = int(c) * (2 if i % 2 == 0 else 1)
        total += n // 10 + n % 10
    return body + str(-total % 10)
def iban(country, bban):
    moved = "".join(str(int(c, 36)) for c in bban + country + "00")
    return country + "%02d" % (98 - int(moved) % 97) + bban
texts = []
for prefix, n in [("4", 16), ("51", 16), ("55", 16), ("34", 15), ("37", 15), ("6011", 16)]:
    for _ in range(12):
        card = luhn(prefix + digits(n - 1 - len(prefix)))
        texts += [card, card[:-1] + str((int(card[-1]) + 5) % 10)]
        if n == 16: texts += ["-".join(card[i:i+4] for i in range(0, 16, 4)), " ".join(card[i:i+4] for i in range(0, 16, 4))]
for country, n in [("DE", 18), ("NO", 11), ("SE", 20), ("ES", 20), ("BE", 12), ("AT", 16), ("DK", 14)]:
    for _ in range(8):
        i = iban(country, digits(n))
        texts += [i, i[:-1] + str((int(i[-1]) + 1) % 10), i[:2] + i[4:6] + i[2:4] + i[6:]]
for _ in range(30):
    user, host = "".join(random.choice("abcxyz.-_+1") for _ in range(6)), random.choice(["example.com", "mail.example.org", "example", "b.museum"])
    texts += ["u" + user.strip(".-") + "@" + host, user + "(at)" + host]
for _ in range(30):
    texts += [".".join(str(random.randrange(300)) for _ in range(4)), ":".join("%x" % random.randrange(65536) for _ in range(8)), ".".join(str(random.randrange(256)) for _ in range(3))]
out = []
for t in dict.fromkeys(texts):
    found = []
    for name, (r, entity) in recognizers.items():
        for hit in r.analyze(t, [entity], None) or []:
            if hit.start == 0 and hit.end == len(t) and hit.score > 0: found.append(name)
    out.append({"text": t, "is": sorted(set(found))})
json.dump(out, open("pii.json", "w"), indent=0)
print(len(out), {n: sum(n in o["is"] for o in out) for n in recognizers})
