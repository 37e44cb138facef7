"""Catalogs have what DCAT-AP 3.0.1 makes mandatory, by pyshacl; both forms are one graph, by rdflib; nothing is fetched."""

import json
from pathlib import Path

import pytest

from serai.catalog.dcat import Center, write_jsonld, write_ttl
from serai.catalog.odrl import agreed_policy, offer_policy, write_policy
from serai.kernel.ids import Digest

rdflib = pytest.importorskip("rdflib", reason="the reader of RDF comes with `make extras`")
compare = pytest.importorskip("rdflib.compare")
pyshacl = pytest.importorskip("pyshacl", reason="the validator of shapes comes with `make extras`")
pytestmark = [
    pytest.mark.usefixtures("offline"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]

SHAPES = Path(__file__).with_name("dcat_ap_mandatory.ttl")
DCT, ODRL, SERAI = "http://purl.org/dc/terms/", "http://www.w3.org/ns/odrl/2/", "urn:serai:odrl:v1#"


GENESIS, HEART, ECHO = Digest("9e" * 32), Digest("4e" * 32), Digest("ec" * 32)
CENTER = Center(genesis=GENESIS, name='Three "hospitals"')


def graph(text, form):
    return rdflib.Graph().parse(data=text, format=form)


def report(found):
    conforms, _, text = pyshacl.validate(found, shacl_graph=str(SHAPES), shacl_graph_format="turtle")
    return conforms, text


@pytest.mark.parametrize("names", [("described", "bare"), ("described",), ("bare",)], ids=", ".join)
def test_a_catalog_has_what_is_mandatory(names, request):
    chosen = [request.getfixturevalue(name) for name in names]
    conforms, text = report(graph(write_ttl(CENTER, chosen), "turtle"))
    assert conforms, text


def test_turtle_and_json_say_the_same(described, bare):
    both = [described, bare]
    turtle, document = graph(write_ttl(CENTER, both), "turtle"), graph(write_jsonld(CENTER, both), "json-ld")
    assert compare.isomorphic(turtle, document)
    titles = set(turtle.objects(rdflib.URIRef(f"urn:serai:offer:{HEART}"), rdflib.URIRef(f"{DCT}title")))
    assert titles == {rdflib.Literal(text.title, lang=tag) for tag, text in described.texts.items()}


@pytest.mark.parametrize(
    ("subject", "verb"),
    [
        (f"urn:serai:offer:{HEART}", f"{DCT}title"),
        (f"urn:serai:offer:{ECHO}", f"{DCT}description"),
        (f"urn:serai:offer:{HEART}", f"{ODRL}hasPolicy"),
        (f"urn:serai:catalog:{GENESIS}", f"{DCT}publisher"),
        (f"urn:serai:member:{GENESIS}:bern", "http://xmlns.com/foaf/0.1/name"),
        (f"urn:serai:policy:{HEART}", f"{ODRL}permission"),
    ],
)
def test_what_is_missing_is_found_missing(subject, verb, described, bare):
    found = graph(write_ttl(CENTER, [described, bare]), "turtle")
    found.remove((rdflib.URIRef(subject), rdflib.URIRef(verb), None))
    conforms, _ = report(found)
    assert not conforms


def test_odrl_documents_are_json_ld_with_every_term_in_them(described):
    for policy in (offer_policy(described), agreed_policy(described, described.uses[0])):
        found = graph(write_policy(policy), "json-ld")
        conforms, text = report(found)
        assert conforms, text
        clauses = {str(clause) for clause in found.objects(None, rdflib.URIRef(f"{SERAI}clause"))}
        assert clauses == {term.clause for term in described.offer.terms}


def test_dates_days_and_numbers_have_their_types(described):
    found = graph(write_policy(offer_policy(described)), "json-ld")
    kinds = {
        right.datatype.rpartition("#")[2]
        for right in found.objects(None, rdflib.URIRef(f"{ODRL}rightOperand"))
        if right.datatype
    }
    assert kinds == {"dateTime", "duration", "integer"}


def test_the_shapes_are_read_as_they_are_meant():
    shapes = graph(SHAPES.read_text(encoding="utf-8"), "turtle")
    sections = {str(section) for section in shapes.objects(None, rdflib.RDFS.seeAlso)}
    assert len(sections) > 20
    assert all(section.startswith("https://semiceu.github.io/DCAT-AP/releases/3.0.1/#") for section in sections)
    assert json.loads(write_jsonld(CENTER, []))["@graph"][0]["dcat:dataset"] == []
