"""A page on one's own machine: photos are coloured, and one sees what the network believed.

queue.py    one thread that does all work      studio.py   photos in, pictures and beliefs out
server.py   who may ask for what, over HTTP    *.html *.css *.js   what the browser is given
"""
