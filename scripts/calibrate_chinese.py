"""Measure the Chinese statistics on real corpora and on synthetic spam, and print what each threshold would drop.

MIXER_DATA=FOLDER python scripts/calibrate_chinese.py                  # quantiles of every statistic, as Markdown
MIXER_DATA=FOLDER python scripts/calibrate_chinese.py --kept           # documents kept under the defaults, by file
MIXER_DATA=FOLDER python scripts/calibrate_chinese.py --published      # the same under rules as they were published
MIXER_DATA=FOLDER python scripts/calibrate_chinese.py --dropped NAME   # what the defaults drop of one corpus, to read

The spam is made here, from a fixed seed, out of phrases below and sentences of the real corpora; docs/chinese.md tells
what the thresholds are and why.
"""

import argparse
import csv
import gzip
import io
import json
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from mixer.filters.check import Rule, keys
from mixer.filters.families.chinese import CHECKS
from mixer.filters.settings import FilterSettings, Overrides, resolve
from mixer.filters.statistics import compute

RULES = [check for check in CHECKS if isinstance(check, Rule)]
PUBLISHED = {
    "han_distinct": ("at_least", 0.0),
    "han_top_2gram": ("at_most", 0.20),
    "han_top_3gram": ("at_most", 0.18),
    "han_top_4gram": ("at_most", 0.16),
    **{f"han_repeated_{n}grams": ("at_most", 0.60) for n in (5, 6, 7, 8, 9, 10)},
    "han_repeated_13grams": ("at_most", 0.50),
    "han_duplicate_lines": ("at_most", 0.287),
    "bracketed_share": ("at_most", 0.10),
    "hash_runs_per_character": ("at_most", 0.10),
    "ellipsis_runs_per_character": ("at_most", 0.10),
    "digit_share": ("at_most", 0.30),
    "punctuation_share": ("at_least", 0.0001),
    "chinese_sentences": ("at_least", 2.0),
    "mean_filled_line": ("at_least", 10.0),
    "newlines_per_character": ("at_most", 0.105),
    "teaser_lines": ("at_most", 0.30),
    "chinese_bullet_lines": ("at_most", 0.90),
    "stopped_lines": ("at_least", 0.106),
    "terminal_lines": ("at_least", 0.106),
    "stop_characters": ("at_least", 2.0),
    "duplicate_lines": ("at_most", 0.287),
    "repeated_line_characters": ("at_most", 0.10),
}
"""Statistics, on which side they drop, and the value published (for words or distinct characters, where they were)."""


def records(path: Path) -> Iterator[Any]:
    """Yield the records of one file."""
    if path.suffix == ".parquet":
        yield from pq.read_table(path).to_pylist()
        return
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    elif path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read()
    if ".csv" in path.name:
        yield from csv.DictReader(io.StringIO(data.decode("gb18030")))
    elif ".jsonl" in path.name:
        yield from (json.loads(line) for line in data.splitlines() if line.strip())
    elif ".json" in path.name:
        loaded = json.loads(data)
        yield from loaded["data"] if isinstance(loaded, dict) else loaded
    else:
        yield data.decode()


def of_language(field: str, *languages: str):
    """Return what takes the field of records in some languages."""
    return lambda record: record[field] if record["lang"] in languages else ""


def contexts(record: Any) -> str:
    """Return the text that the questions of a reading benchmark are about."""
    return "\n".join(paragraph["context"] for paragraph in record["paragraphs"])


CORPORA: dict[str, tuple[str, str, Any]] = {
    "novels": ("book", "zh/classic_novels_html.jsonl.zst", lambda r: r["html"]),
    "zuozhuan, Hant": ("book", "zh/zuozhuan_traditional.txt.gz", lambda r: r),
    "laws": ("book", "zh/laws_versions.jsonl.zst", lambda r: r["正文"]),
    "laws as web": ("web", "zh/laws_versions.jsonl.zst", lambda r: r["正文"]),
    "trpl": ("book", "zh/trpl_zh_cn.jsonl.gz", lambda r: r["markdown"]),
    "go_web_book": ("book", "zh/go_web_book_en_zh_zhtw.jsonl.zst", of_language("text", "zh")),
    "go_web_book, Hant": ("book", "zh/go_web_book_en_zh_zhtw.jsonl.zst", of_language("text", "zh-tw")),
    "oi_wiki": ("web", "zh/oi_wiki.jsonl.zst", lambda r: r["content"]),
    "tidb": ("web", "zh/tidb_docs_cn.jsonl.zst", lambda r: r["content"]),
    "react": ("web", "zh/react_docs_en_hans_hant.parquet", of_language("content", "zh-hans")),
    "react, Hant": ("web", "zh/react_docs_en_hans_hant.parquet", of_language("content", "zh-hant")),
    "wikipedia": ("web", "benchmarks/cmrc2018_dev.json.gz", contexts),
    "wikipedia, Hant": ("web", "benchmarks/drcd_test.json.gz", contexts),
    "alpaca answers": ("web", "sft/alpaca_data_zh_0_3252.json.gz", lambda r: r["output"]),
    "sharegpt answers": (
        "web",
        "sft/sharegpt_zh_1K.jsonl.gz",
        lambda r: "\n".join(turn["value"] for turn in r["conversations"] if turn["from"] == "gpt"),
    ),
    "tldr as web": ("web", "zh/tldr_en_zh_zhtw.jsonl.gz", of_language("text", "zh")),
    "tldr": ("qa", "zh/tldr_en_zh_zhtw.jsonl.gz", of_language("text", "zh")),
    "tldr, Hant": ("qa", "zh/tldr_en_zh_zhtw.jsonl.gz", of_language("text", "zh_TW")),
    "medical_qa": (
        "qa",
        "zh/medical_qa_gb18030.csv.gz",
        lambda r: "\n".join(filter(None, (r["title"], r["ask"], r["answer"]))),
    ),
    "javascript_questions": (
        "qa",
        "code/javascript_questions_en_zh.jsonl",
        lambda r: r["text"] if r["lang"] != "en" else "",
    ),
    "headlines": ("qa", "zh/thucnews_titles_dev.txt", lambda r: [line.partition("\t")[0] for line in r.splitlines()]),
    "tang, Hant": ("poetry", "zh/tang_poetry_traditional.jsonl.zst", lambda r: "\n".join(r["paragraphs"])),
    "song": ("poetry", "zh/song_ci_simplified.json.gz", lambda r: "\n".join(r["paragraphs"])),
    "ape210k": ("math", "math/ape210k_valid.jsonl.gz", lambda r: r["original_text"]),
}
"""By name: domain, file, and the text of a record."""

CITIES = re.findall("..", "北京上海广州深圳杭州成都武汉西安南京重庆天津苏州长沙郑州青岛东莞宁波佛山合肥无锡")
KEYWORDS = re.findall(
    "[^ ]+",
    "棋牌 游戏 下载 官网 开户 注册 彩票 平台 代理 娱乐 在线 免费 最新 手机版 优惠 网址 登录 真人 视频 直播 发票 代开 "
    "贷款 办证 减肥 丰胸 祛斑 祛痘 加盟 代购 高仿 手表 包包 批发 价格 厂家 哪家好 多少钱 怎么样 排行榜",
)
MENU = re.findall(
    "[^ ]+",
    "首页 新闻 国内 国际 体育 财经 科技 娱乐 汽车 房产 教育 健康 旅游 时尚 军事 历史 文化 读书 图片 视频 论坛 博客 "
    "关于我们 联系我们 网站地图 免责声明 广告服务 诚聘英才 友情链接 登录 注册 会员中心 购物车 帮助中心 返回首页",
)
ADVERTS = (
    "专业{city}{word}，{word}{word}，诚信经营，价格优惠，联系电话：1{n}，微信同号，欢迎来电咨询！",
    "想了解{word}就来{city}{word}网，{word}一站式服务，24小时在线，QQ：{n}。",
    "{city}{word}公司是一家专业从事{word}、{word}的企业，产品质量可靠，深受广大用户好评，咨询热线{n}。",
)


def spam(sentences: list[str], titles: list[str]) -> dict[str, list[str]]:
    """Make pages that a corpus should not have, 200 of a kind, from a fixed seed."""
    random_ = random.Random(20240917)
    pick = random_.choice

    def advert(template: str) -> str:
        found = re.sub("{word}", lambda _: pick(KEYWORDS), template)
        return found.format(city=pick(CITIES), n=random_.randrange(10**9, 10**10))

    def prose(count: int) -> str:
        start = random_.randrange(len(sentences) - count)
        return "".join(sentences[start : start + count])

    def adverts() -> str:
        return "\n".join([advert(pick(ADVERTS))] * random_.randint(4, 40))

    def varied_adverts() -> str:
        template = pick(ADVERTS)
        return "\n".join(advert(template) for _ in range(random_.randint(8, 60)))

    def stuffing() -> str:
        words = random_.sample(KEYWORDS, random_.randint(5, 16))
        return pick([" ", "，", "_", "、"]).join(pick(words) for _ in range(random_.randint(60, 500)))

    def menu() -> str:
        return pick(["\n", " ", " | "]).join(pick(MENU) for _ in range(random_.randint(40, 200)))

    def template() -> str:
        text = prose(random_.randint(2, 5))
        return "\n".join(f"{city}{pick(KEYWORDS)}：{text}" for city in random_.sample(CITIES, random_.randint(4, 20)))

    def loop() -> str:
        return prose(random_.randint(2, 10)) + prose(1) * random_.randint(8, 60)

    def teasers() -> str:
        tail = pick(["阅读全文>>", "更多", "[展开]", "查看全文", " 。。。"])
        return "\n".join(pick(titles) + tail for _ in range(random_.randint(8, 60)))

    def brackets() -> str:
        return "\n".join(f"【{pick(titles)}】{pick(KEYWORDS)}【{pick(CITIES)}】" for _ in range(random_.randint(8, 40)))

    def numbers() -> str:
        return "\n".join(
            f"{pick(CITIES)}{pick(KEYWORDS)} 1{random_.randrange(10**9, 10**10)} {random_.randrange(10**5)}元"
            for _ in range(random_.randint(8, 60))
        )

    def soup() -> str:
        letters = random_.sample("哈啊哦嗯呵嘿顶赞好美帅牛", random_.randint(1, 5))
        return "".join(pick(letters) for _ in range(random_.randint(60, 600)))

    makers = (adverts, varied_adverts, stuffing, menu, template, loop, teasers, brackets, numbers, soup)
    return {f"spam: {maker.__name__.replace('_', ' ')}": [maker() for _ in range(200)] for maker in makers}


def load(folder: Path) -> dict[str, tuple[str, list[str]]]:
    """Return domain and documents of every corpus, then of the spam; documents that are not Chinese are left out."""
    found: dict[str, tuple[str, list[str]]] = {}
    for name, (domain, file, text) in CORPORA.items():
        texts: list[str] = []
        for record in records(folder / file):
            taken = text(record)
            texts.extend(taken if isinstance(taken, list) else [taken])
        share, size = measure(texts, ["han_share", "characters"]).values()
        shortest = 50 if domain in ("web", "book") else 10
        found[name] = domain, [texts[row] for row in np.flatnonzero((share >= 0.05) & (size >= shortest))]
    sentences = re.findall("[^。！？\n]{8,60}[。！？]", "\n".join(found["wikipedia"][1] + found["sharegpt answers"][1]))
    for name, texts in spam(sentences, found["headlines"][1]).items():
        found[name] = "web", texts
    return found


def measure(texts: list[str], names: list[str]) -> dict[str, np.ndarray]:
    """Return statistics of some texts."""
    return compute(pa.array(texts, pa.large_string()), np.arange(len(texts)), names)


def quantiles(corpora: dict[str, tuple[str, list[str]]]) -> None:
    """Print for every statistic its quantiles by corpus, and what the published value and the default would drop."""
    values = {name: measure(texts, list(PUBLISHED)) for name, (_, texts) in corpora.items()}
    rules = {rule.statistic: rule for rule in RULES}
    for statistic, (comparison, published) in PUBLISHED.items():
        most = comparison == "at_most"
        print(f"\n## `{statistic}`: {comparison.replace('_', ' ')}, published {published:g}\n")
        print("| corpus | domain | documents | median | 99 % | 99.9 % | extreme | published drops | default | drops |")
        print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        for name, (domain, texts) in corpora.items():
            found = values[name][statistic].astype(np.float64)
            marks = [0.5, 0.99, 0.999, 1.0] if most else [0.5, 0.01, 0.001, 0.0]
            rule = rules.get(statistic)
            default = rule and next((rule.defaults[key] for key in keys(domain, "zh") if key in rule.defaults), None)
            lost = found > np.float32(published) if most else found < np.float32(published)
            row = [name, domain, f"{len(texts)}", *(f"{value:.3g}" for value in np.nanquantile(found, marks))]
            row.append(f"{lost.mean():.2%}")
            if rule and isinstance(default, float | int):
                row += [f"{default:g}", f"{rule.objects(found.astype(np.float32), default).mean():.2%}"]
            else:
                row += ["off", ""]
            print(f"| {' | '.join(row)} |")


def ngrams(text: str, n: int) -> list[str]:
    """Return the n-grams of a text without white space."""
    solid = "".join(text.lower().split())
    return [solid[place : place + n] for place in range(len(solid) - n + 1)]


def said_twice(text: str) -> float:
    """ChineseWebText's repetition: 13-grams that occur twice, the first time included, of all 13-grams."""
    counts = Counter(ngrams(text, 13))
    return sum(count for count in counts.values() if count > 1) / max(1, counts.total())


def distinct_in_duplicates(text: str, n: int) -> float:
    """MAP-NEO's duplicate n-grams as its code has them: different characters in them, of all characters."""
    counts = Counter(ngrams(text, n))
    return len(set("".join(gram for gram, count in counts.items() if count > 1))) / max(1, len(text))


def entropy(text: str) -> float:
    """Entropy of the characters, in nats."""
    shares = np.array(list(Counter("".join(text.split())).values()), float)
    shares /= shares.sum()
    return float(-(shares * np.log(shares)).sum())


def hanzi(text: str) -> float:
    """ChineseWebText's share of Chinese characters: one block of Unicode, of all characters."""
    return len(re.findall("[\u4e00-\u9fa5]", text)) / len(text)


AS_PUBLISHED: dict[str, Callable[[str], bool]] = {
    "characters > 200": lambda text: len(text) <= 200,
    "characters <= 10000": lambda text: len(text) > 10_000,
    "Hanzi >= 0.3": lambda text: hanzi(text) < 0.3,
    "mean line >= 10": lambda text: len(text) / len(text.split("\n")) < 10,
    "13-grams <= 0.5": lambda text: said_twice(text) > 0.5,
    "5-grams <= 0.6": lambda text: distinct_in_duplicates(text, 5) > 0.6,
    "different > 0.1": lambda text: len(set(text)) / len(text) <= 0.1,
    "entropy >= 3": lambda text: entropy(text) < 3,
}
"""Rules of MAP-NEO and ChineseWebText as their code has them, written down anew: whether they drop a text."""


def published(corpora: dict[str, tuple[str, list[str]]], most: int = 200) -> None:
    """Print what the published rules drop of at most so many documents, evenly taken, of each corpus."""
    print(f"| corpus | {' | '.join(AS_PUBLISHED)} |\n| --- |{' ---: |' * len(AS_PUBLISHED)}")
    for name, (_, texts) in corpora.items():
        chosen = texts[:: -(-len(texts) // most)]
        shares = (sum(map(drops, chosen)) / len(chosen) for drops in AS_PUBLISHED.values())
        print(f"| {name} | {' | '.join(f'{share:.0%}' for share in shares)} |")


def reasons(domain: str, texts: list[str]) -> list[str]:
    """Return for each text the first rule that objects under the defaults, or an empty string."""
    rulings = resolve(FilterSettings(), Overrides(), domain, "zh")  # type: ignore[arg-type]
    rulings = [(check, value) for check, value in rulings if isinstance(check, Rule)]
    values = measure(texts, list({check.statistic for check, _ in rulings}))
    found = [""] * len(texts)
    for check, value in reversed(rulings):
        for row in np.flatnonzero(check.objects(values[check.statistic], value)):
            found[row] = f"{check.name} ({values[check.statistic][row]:.3g})"
    return found


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kept", action="store_true")
    parser.add_argument("--published", action="store_true")
    parser.add_argument("--dropped", metavar="NAME")
    arguments = parser.parse_args()
    corpora = load(Path(os.environ["MIXER_DATA"]))
    if arguments.dropped:
        domain, texts = corpora[arguments.dropped]
        for reason, text in zip(reasons(domain, texts), texts, strict=True):
            if reason:
                print(f"--- {reason}, {len(text)} characters\n{text[:600]}\n")
    elif arguments.published:
        published(corpora)
    elif arguments.kept:
        print("| corpus | domain | documents | kept | most frequent reasons |\n| --- | --- | ---: | ---: | --- |")
        for name, (domain, texts) in corpora.items():
            found = reasons(domain, texts)
            top = Counter(reason.partition(" ")[0] for reason in found if reason).most_common(3)
            shown = ", ".join(f"`{reason}` {count}" for reason, count in top)
            print(f"| {name} | {domain} | {len(texts)} | {found.count('') / len(texts):.2%} | {shown} |")
    else:
        quantiles(corpora)


if __name__ == "__main__":
    main()
