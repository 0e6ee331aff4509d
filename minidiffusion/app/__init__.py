r"""The studio in a browser: `minidiffusion app`.

    serve.py    the door: which requests come in at all
    page.py     what is on the page, in Gradio
    html.py     the parts of the page that are text
    clicks.py   what happens when something is clicked
    order.py    what a click asks for: it can be typed, and it can be carried out
    preview.py  what an unfinished picture looks like
    desk.py     one model, many people: who is next, who gave up
    upload.py   pictures out of a browser
    history.py  the folder with the pictures, which is all that is remembered

A click on its way: browser -> serve -> page -> clicks -> an Order -> desk -> actions -> history, and back.
"""
