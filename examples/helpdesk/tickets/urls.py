from django.urls import path

from tickets import views

urlpatterns = [
    path("", views.ticket_list, name="ticket-list"),
    path("tickets/<int:ticket_id>/", views.ticket, name="ticket"),
    path("tickets/<int:ticket_id>/reply/", views.reply, name="ticket-reply"),
    path("tickets/<int:ticket_id>/triage/", views.triage, name="ticket-triage"),
]
