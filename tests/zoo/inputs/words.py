import hashlib
import json
import re
from collections import Counter

text = "the cat saw the dog, and the dog saw the moon"
words = Counter(re.findall(r"\w+", text))
print(json.dumps(words.most_common(4)))
print(hashlib.sha256(text.encode()).hexdigest())
