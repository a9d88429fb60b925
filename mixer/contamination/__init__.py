"""Decontamination: documents that hold items of benchmarks are found and removed, columnar from files to marks.

    benchmark files -benchmarks-> index      prepared documents + index -scan-> hits
    hits -common-> n-grams of the corpus itself      hits, index, common -decontaminate-> marks and findings

An *item* is one text of a benchmark, a question mostly; a *unit* a word or one Han or kana character (``units``); an
*n-gram* so many units in a row. An item is found in a document if enough of its units are covered by n-grams that the
document holds, those aside that are common in the corpus or in the benchmark. ``stages`` has the order.
"""
