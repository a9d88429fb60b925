"""Ask a model in Hugging Face's format something, and print what it answers: the likeliest token, one after the other.

python scripts/answer.py FOLDER QUESTION [--tokens 40]
"""

import argparse
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("question")
    parser.add_argument("--tokens", type=int, default=40, help="at most")
    given = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(given.folder)
    model = AutoModelForCausalLM.from_pretrained(given.folder).eval()
    turns = [{"role": "user", "content": given.question}]
    asked = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answer = model.generate(
        **asked,
        max_new_tokens=given.tokens,
        do_sample=False,
        no_repeat_ngram_size=2,  # a model of two layers says the same word for ever
        pad_token_id=tokenizer.eos_token_id,
    )
    print(f"{given.question}\n> {tokenizer.decode(answer[0, asked['input_ids'].shape[1] :], skip_special_tokens=True)}")


if __name__ == "__main__":
    main()
