r"""The studio, a web page for everything that can be done with pictures: `minidiffusion app`.

    server            the web server
    request_filter    which HTTP requests are answered at all
    page              components and events, in Gradio; beside it page.css, and page.js, paint.js, upload.js
    html              the components that are HTML: gallery, history, status message
    handlers          what an event does
    command           an action and its arguments: shown as a command line, carried out as a job
    job_queue         one model for many users: position in the queue, cancelling
    preview           what an unfinished picture looks like
    upload            pictures that a browser sends as a data URL
    history           the folder with the pictures, the only thing that is saved

An event on its way: browser -> request_filter -> page -> handlers, which parse the prompt -> Command -> job_queue ->
action -> history, and back.
"""
