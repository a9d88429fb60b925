"""The group `recipe`: packaged recipes shown and checked."""

import click


@click.group()
def recipe() -> None:
    """List, show and check recipes."""


@recipe.command("list")
def list_recipes() -> None:
    """List the packaged recipes."""
    from mixer.loading import packaged_recipes

    for name, title in packaged_recipes().items():
        click.echo(f"{name:12} {title}")


@recipe.command()
@click.argument("name")
def show(name: str) -> None:
    """Print the recipe NAME as it is written, to start one's own from."""
    from mixer.loading import recipe_path

    click.echo(recipe_path(name).read_text("utf-8"), nl=False)


@recipe.command()
@click.argument("file")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one key of the recipe.")
def check(file: str, *, overrides: tuple[str, ...]) -> None:
    """Check every key and value of the recipe FILE, and that its files are there."""
    from mixer.loading import load_recipe
    from mixer.plan import plan
    from mixer.screens import builds

    builds.show_plan(plan(load_recipe(file, overrides), limit=None), out=None)


@recipe.command()
def schema() -> None:
    """Print the JSON Schema of a recipe, for editors that complete and check YAML."""
    import json

    from mixer.recipe import Recipe

    click.echo(json.dumps(Recipe.model_json_schema(), indent=2, ensure_ascii=False))
