import os
import pickle
import this

here = os.path.dirname(__file__)
text = "".join(this.d.get(c, c) for c in this.s) * 4
ids = {c: i for i, c in enumerate(sorted(set(text)))}
cut = len(text) * 9 // 10
for name, part in (("train", text[:cut]), ("val", text[cut:])):
    with open(os.path.join(here, name + ".bin"), "wb") as file:
        file.write(bytes(ids[c] for c in part))
with open(os.path.join(here, "meta.pkl"), "wb") as file:
    pickle.dump({"vocab_size": len(ids)}, file)
